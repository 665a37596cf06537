SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // A token is gone when the page is.
  persistAuthorization: false,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  docExpansion: "list",
  // It would be somebody else's server that validates.
  validatorUrl: null,
});
