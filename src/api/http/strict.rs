//! Adds to operations what poem-openapi leaves out: it refuses unknown and repeated parameters and unreadable
//! headers, sends `Allow` with 405, and words errors as our own problems.

use std::{borrow::Borrow, collections::HashMap, sync::LazyLock};

use poem::{
    Endpoint, EndpointExt, IntoResponse, Request, Response, Result,
    endpoint::{BoxEndpoint, make_sync},
    http::{HeaderMap, HeaderValue, Method, header},
};
use poem_openapi::{
    OpenApi,
    registry::{MetaApi, MetaOperationParam, MetaParamIn, MetaSchemaRef, Registry},
};

use crate::{
    api::http::{
        asking,
        caller::{Door, Malformed},
        cursor, on_behalf,
        scopes::{Need, need_of},
        strangers,
        translated::of_error,
    },
    domain::{EventId, NotAnId},
    listen::ClientAddress,
    problems::Problem,
};

/// The methods of HTTP.
pub(in crate::api) static METHODS: LazyLock<[Method; 10]> = LazyLock::new(|| {
    let query = Method::from_bytes(b"QUERY").expect("the letters of a method");
    [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
        query,
    ]
});

/// The operations of `A` with the checks of this module.
pub(in crate::api) struct Strict<A>(pub(in crate::api) A);

type Routes = HashMap<String, HashMap<Method, BoxEndpoint<'static>>>;

impl<A: OpenApi> OpenApi for Strict<A> {
    fn meta() -> Vec<MetaApi> {
        A::meta()
    }

    fn register(registry: &mut Registry) {
        A::register(registry);
    }

    fn add_routes(self, routes: &mut Routes) {
        let mut parameters = parameters(A::meta());
        let mut loose = Routes::new();
        self.0.add_routes(&mut loose);
        for (path, operations) in loose {
            let strict = routes.entry(path.clone()).or_default();
            for (method, operation) in operations {
                let known = parameters.remove(&(path.clone(), method.clone())).unwrap_or_default();
                strict.insert(method, Operation { known, operation }.boxed());
            }
            refuse_the_rest(strict);
        }
    }
}

/// The name of an operation, the names of its parameters, and its requirement on the caller.
#[derive(Default)]
struct Parameters {
    operation: Option<&'static str>,
    /// The ids in the path: the names in the route, and in the document.
    ids: Vec<(String, String)>,
    query: Vec<String>,
    headers: Vec<String>,
    need: Option<Need>,
}

fn parameters(apis: Vec<MetaApi>) -> HashMap<(String, Method), Parameters> {
    let paths = apis.into_iter().flat_map(|api| api.paths);
    paths
        .flat_map(|path| {
            let route = route(&path.path);
            path.operations.into_iter().map(move |operation| {
                let of = |kind| {
                    let params = operation.params.iter().filter(move |param| param.in_type == kind);
                    params.map(|param| param.name.clone()).collect()
                };
                let need = operation.operation_id.and_then(need_of);
                let known = Parameters {
                    operation: operation.operation_id,
                    ids: ids(&path.path, &operation.params),
                    query: of(MetaParamIn::Query),
                    headers: of(MetaParamIn::Header),
                    need,
                };
                ((route.clone(), operation.method.clone()), known)
            })
        })
        .collect()
}

/// The route of a documented path: poem-openapi writes `/users/{id}` as `/users/:param0` for the router.
fn route(path: &str) -> String {
    let mut count = 0..;
    let segment = |segment| match (str::starts_with(segment, '{'), &mut count) {
        (true, count) => format!(":param{}", count.next().unwrap_or_default()),
        (false, _) => segment.to_owned(),
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// The parameters in a documented path that are ids: their names in the route, and in the document.
fn ids(path: &str, params: &[MetaOperationParam]) -> Vec<(String, String)> {
    let names = path.split(['{', '}']).skip(1).step_by(2).enumerate();
    let is_id = |name: &str| {
        let param = params.iter().find(|param| param.in_type == MetaParamIn::Path && param.name == name);
        let format = param.and_then(|param| match &param.schema {
            MetaSchemaRef::Inline(schema) => schema.format,
            MetaSchemaRef::Reference(_) => None,
        });
        format == Some("uuid")
    };
    let ids = names.filter(|(_, name)| is_id(name));
    ids.map(|(at, name)| (format!("param{at}"), name.to_owned())).collect()
}

fn refuse_the_rest(operations: &mut HashMap<Method, BoxEndpoint<'static>>) {
    let mut allowed: Vec<_> = operations.keys().cloned().collect();
    if allowed.contains(&Method::GET) {
        allowed.push(Method::HEAD);
    }
    allowed.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    let allow = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    for method in METHODS.iter() {
        if !allowed.contains(method) {
            let allow = allow.clone();
            operations.insert(
                method.clone(),
                make_sync(move |_| Problem::not_allowed(&allow)).map_to_response().boxed(),
            );
        }
    }
}

struct Operation {
    known: Parameters,
    operation: BoxEndpoint<'static>,
}

impl Endpoint for Operation {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        if let Some(operation) = self.known.operation {
            asking::note_operation(operation);
        }
        // An operation without a caller checks no token, so a token does not spare the budget of the address.
        if self.known.need.is_none()
            && let Some(door) = request.data::<Door>()
            && let Err(exceeded) = strangers::charge(&door.limits, ClientAddress::of(&request))
        {
            return Ok(Problem::from(exceeded).into_response());
        }
        join_lists(request.headers_mut());
        let given: Vec<(String, String)> = request.params().unwrap_or_default();
        if self.known.query.iter().any(|name| name == "cursor") {
            asking::note_list(cursor::list(request.uri().path(), &given));
        }
        let wrong_header = || wrong_header(request.headers(), &self.known.headers);
        let wrong = wrong_path(&request, &self.known.ids);
        let named = match wrong.or_else(|| wrong_query(&given, &self.known.query)).or_else(wrong_header) {
            Some(problem) => Err(problem),
            None => on_behalf::named(request.headers(), self.known.need),
        };
        match (named, self.known.need) {
            (Ok(Some(user)), _) => {
                request.set_data(user);
            }
            (Ok(None), _) => {}
            // The caller is checked, and charged, before the request is refused.
            (Err(problem), Some(_)) => {
                request.set_data(Malformed(problem));
            }
            (Err(problem), None) => return Ok(problem.into_response()),
        }
        if let Some(need) = self.known.need {
            request.set_data(need);
        }
        let answer = self.operation.call(request).await;
        Ok(answer.unwrap_or_else(|error| of_error(error).into_response()))
    }
}

/// Joins the lines of `Accept`. A header that is a list may be sent in several lines, which mean the same as
/// one line with all values (RFC 9110, section 5.3).
fn join_lists(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(header::ACCEPT).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b", "[..]))
    {
        headers.insert(header::ACCEPT, joined);
    }
}

/// The refusal of a query parameter that is not among the `known` parameters.
pub(in crate::api) fn unknown_parameter<S: Borrow<str>>(name: &str, known: &[S]) -> Problem {
    let detail = match known {
        [] => "unknown parameter: this operation has no query parameters".to_owned(),
        known => format!("unknown parameter: use {}", known.join(", ")),
    };
    Problem::parameter(name, "unknown_parameter", detail)
}

/// The refusal of an id in the path whose time no id can have. Any other text that is not an id leads to nothing, so the
/// response to it is 404.
fn wrong_path(request: &Request, ids: &[(String, String)]) -> Option<Problem> {
    ids.iter().find_map(|(at, name)| match request.raw_path_param(at)?.parse::<EventId>() {
        Err(late @ NotAnId::TooLate) => Some(Problem::parameter(name, "invalid", late.to_string())),
        _ => None,
    })
}

fn wrong_query(given: &[(String, String)], known: &[String]) -> Option<Problem> {
    given.iter().enumerate().find_map(|(at, (name, _))| {
        if !known.contains(name) {
            let name: String = name.chars().take(64).collect();
            Some(unknown_parameter(&name, known))
        } else if given[..at].iter().any(|(before, _)| before == name) {
            Some(Problem::parameter(name, "repeated_parameter", "must be sent only once"))
        } else {
            None
        }
    })
}

/// The refusal of a header that poem-openapi would ignore: it is repeated, or has bytes that are not visible
/// ASCII.
fn wrong_header(given: &HeaderMap, known: &[String]) -> Option<Problem> {
    known.iter().find_map(|name| {
        let mut values = given.get_all(name).iter();
        if values.any(|value| value.to_str().is_err()) {
            Some(Problem::parameter(name, "invalid", "must be visible ASCII"))
        } else if given.get_all(name).iter().nth(1).is_some() {
            Some(Problem::parameter(name, "repeated_parameter", "must be sent only once"))
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_documented_path_leads_to_its_route() {
        assert_eq!(route("/a/{id}/b/{user_id}"), "/a/:param0/b/:param1");
        assert_eq!(route("/a/{id}"), "/a/:param0");
        assert_eq!(route("/a"), "/a");
    }
}
