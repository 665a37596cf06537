const fonts = "system-ui, sans-serif";
Redoc.init(
  "../openapi.json",
  { theme: { typography: { fontFamily: fonts, headings: { fontFamily: fonts } } } },
  document.getElementById("redoc"),
);
