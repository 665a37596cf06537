//! Routes paths to RPCs.

use std::collections::{HashMap, HashSet};

use clinic_contract::Result;
use http::Method;
use prost_reflect::DescriptorPool;

use crate::binding::Binding;
use crate::schema::Schema;

/// All paths of the contract.
pub struct Routes {
    pub(crate) schema: Schema,
    bindings: Vec<Binding>,
    /// For each path, the indexes of its bindings, one per HTTP method.
    paths: matchit::Router<Vec<usize>>,
    /// The first segments of the paths.
    roots: HashSet<String>,
}

/// The result of routing a request.
pub enum Route<'a> {
    Found(Matched<'a>),
    /// The path exists, but only for these HTTP methods.
    MethodNotAllowed(Vec<&'a Method>),
    NotFound,
}

/// The route of a request, with the values of its path parameters.
pub struct Matched<'a> {
    pub binding: &'a Binding,
    pub(crate) schema: &'a Schema,
    /// Percent-encoded, as in the path.
    pub(crate) captured: Vec<&'a str>,
}

impl Routes {
    /// Reads the paths from an encoded `FileDescriptorSet`.
    ///
    /// # Errors
    /// When a path cannot be served as the contract declares it.
    pub fn from_descriptors(descriptors: &[u8]) -> Result<Self> {
        let pool = DescriptorPool::decode(descriptors)?;
        let (mut schema, mut bindings) = (Schema::default(), Vec::new());
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let Some(paths) = clinic_contract::paths(&method)? else { continue };
            for path in &paths.all {
                let binding = Binding::new(&mut schema, &method, &paths, path);
                let name = method.full_name();
                bindings.push(binding.map_err(|e| format!("{name}: {}: {e}", path.path))?);
            }
        }
        let mut by_path: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, Binding { method, path, .. }) in bindings.iter().enumerate() {
            let here = by_path.entry(anonymous(path)).or_default();
            if here.iter().any(|other| bindings.get(*other).is_some_and(|b| b.method == *method)) {
                return Err(format!("{method} {path} leads to two methods").into());
            }
            here.push(index);
        }
        let roots = bindings.iter().map(|binding| root(&binding.path).to_owned()).collect();
        let mut paths = matchit::Router::new();
        for (path, methods) in by_path {
            paths.insert(path, methods)?;
        }
        Ok(Self { schema, bindings, paths, roots })
    }

    /// Routes a request. A trailing slash is optional.
    pub fn find<'a>(&'a self, method: &Method, path: &'a str) -> Route<'a> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let Ok(matched) = self.paths.at(path) else { return Route::NotFound };
        // HEAD is GET without the body.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let here = matched.value.iter().filter_map(|index| self.bindings.get(*index));
        let captured: Vec<_> = matched.params.iter().map(|(_, value)| value).collect();
        if captured.contains(&"") {
            return Route::NotFound;
        }
        match here.clone().find(|binding| binding.method == *method) {
            Some(binding) => Route::Found(Matched { binding, schema: &self.schema, captured }),
            None => Route::MethodNotAllowed(here.map(|binding| &binding.method).collect()),
        }
    }

    /// Returns whether the first segment of the path is one of the API's.
    pub fn is_under(&self, path: &str) -> bool {
        self.roots.contains(root(path))
    }

    /// Returns all bindings, in the order of the contract.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.iter()
    }
}

/// Returns the first segment of a path.
fn root(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

/// Returns `/api/patients/{0}` for `/api/patients/{id}`: a parameter may have another name for each
/// HTTP method.
pub(crate) fn anonymous(path: &str) -> String {
    let mut place = 0..;
    let segments = path.split('/').map(|segment| match segment.starts_with('{') {
        true => format!("{{{}}}", place.next().unwrap_or(0)),
        false => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests;
