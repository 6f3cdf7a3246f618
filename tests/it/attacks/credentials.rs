//! Credentials of a caller in any header or query parameter. No endpoint receives them.

use stack_tests::raw::{RawServer, exchange, statuses};

use super::child::GatewayProcess;
use super::{COMPLETION, KEY, gateway_with_key};
use crate::gateway::in_time;

/// Names of headers with a credential, or with the address of the caller or of its proxies.
pub(super) const HEADERS: &[&str] = &[
    "authorization",
    "Authorization",
    "x-api-key",
    "api-key",
    "apikey",
    "x-goog-api-key",
    "openai-organization",
    "openai-project",
    "cookie",
    "cookie2",
    "proxy-authorization",
    "x-auth-token",
    "x-authorization",
    "x-amz-security-token",
    "x-amz-signature",
    "ocp-apim-subscription-key",
    "cf-access-client-id",
    "cf-access-client-secret",
    "cf-access-jwt-assertion",
    "x-goog-iap-jwt-assertion",
    "private-token",
    "x-litellm-api-key",
    "x-session-id",
    "x-csrf-token",
    "x-password",
    "authentication",
    "x-credentials",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-original-url",
    "via",
    "referer",
    "X_API_KEY",
    "x-bearer",
    "x-pwd",
    "dpop",
    "client-cert",
    "x-ssl-client-cert",
    "x-amzn-oidc-data",
    "x-amzn-oidc-identity",
    "x-ms-client-principal",
    "remote-user",
    "x-remote-addr",
];

/// Queries with a credential.
pub(super) const QUERIES: &[&str] = &[
    "key=",
    "Key=",
    "k%65y=",
    "%6b%65%79=",
    "%6B%45%59=",
    "api_key=",
    "api-key=",
    "apikey=",
    "access_token=",
    "token=",
    "auth=",
    "sig=",
    "Signature=",
    "X-Amz-Signature=",
    "X-Amz-Credential=",
    "client_secret=",
    "password=",
    "session=",
    "jwt=",
    "a=1&key=",
    "a=1;key=",
    "key[]=",
    "key%5B%5D=",
    "key==",
    "&&key=",
    "?key=",
    "+key=",
    "a&key=1&key=",
];

const SECRET: &str = "callers-secret";

/// A gateway, and the server that records its requests.
struct Setup {
    server: RawServer,
    gateway: GatewayProcess,
}

impl Setup {
    async fn new() -> Self {
        let server = RawServer::keeping(COMPLETION).await;
        let gateway = gateway_with_key(&server.url()).await;
        Self { server, gateway }
    }

    /// Sends a request, and returns the bytes that the endpoint receives.
    async fn received(&self, target: &str, headers: &str) -> String {
        let before = self.server.requests().len();
        let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        let answers = in_time(exchange(self.gateway.addr, request.as_bytes())).await;
        assert_eq!(statuses(&answers).first(), Some(&200), "{request:?}");
        let requests = self.server.requests();
        assert_eq!(requests.len(), before + 1, "{request:?}");
        String::from_utf8_lossy(&requests[before]).into_owned()
    }
}

#[tokio::test]
async fn credential_of_caller_reaches_no_endpoint() {
    let setup = Setup::new().await;
    for name in HEADERS {
        let headers = format!("{name}: {SECRET}\r\n{name}: again-{SECRET}\r\nx-ordinary: 1\r\n");
        let bytes = setup.received("/v1/models?a=1", &headers).await;
        assert!(!bytes.contains(SECRET), "{name}: {bytes}");
        assert!(bytes.contains(KEY), "{name}: {bytes}");
        assert!(bytes.contains("x-ordinary: 1"), "{name}: {bytes}");
        assert!(bytes.starts_with("GET /v1/models?a=1 "), "{name}: {bytes}");
    }
    for query in QUERIES {
        let target = format!("/v1/models?b=2&{query}{SECRET}&c=3");
        let bytes = setup.received(&target, "").await;
        assert!(!bytes.contains(SECRET), "{query}: {bytes}");
        let others = bytes.contains("b=2") && bytes.contains("c=3");
        assert!(others, "{query}: {bytes}");
    }
}

/// A header that the caller names in `connection` is for the gateway. A caller could otherwise
/// remove the key of the endpoint, or a length.
#[tokio::test]
async fn connection_header_removes_nothing_of_the_endpoint() {
    let headers = "connection: authorization, host, content-length, x-own\r\nx-own: 1\r\n";
    let setup = Setup::new().await;
    let bytes = setup.received("/v1/models", headers).await.to_lowercase();
    for part in ["authorization: bearer", "host: 127.0.0.1:"] {
        assert!(bytes.contains(part), "{bytes}");
    }
    assert!(!bytes.contains("x-own"), "{bytes}");
}
