//! The configuration file of the gateway.

use examples::gateway::Config;

#[test]
fn sample_file_is_valid() {
    let config = Config::parse(include_str!("../../../examples/gateway.toml")).unwrap();
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.admin, Some("127.0.0.1:8081".parse().unwrap()));
    let names: Vec<_> = config
        .stack
        .status()
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!(names, ["primary", "backup", "spare"]);
}

#[test]
fn invalid_file_error_names_field_in_one_line() {
    const LISTEN: &str = "listen = '127.0.0.1:0'\n";
    const ENDPOINT: &str = "[[endpoint]]\nname = 'a'\nurl = 'http://127.0.0.1:1/v1'\n";
    for (before, after, expected) in [
        ("port = 1\n", "", "line 2: port: unknown field"),
        ("[stack]\nstrategy = 'fast'\n", "", "stack.strategy: "),
        ("[stack]\nfoo = 1\n", "", "stack.foo: unknown field"),
        ("[stack]\ntimeouts = 'quick'\n", "", "stack.timeouts: "),
        (
            "[stack]\ntimeouts = { head = '2 bananas' }\n",
            "",
            "stack.timeouts.head: ",
        ),
        (
            "[stack]\ntimeouts = { idle = '0s' }\n",
            "",
            "stack.timeouts.idle: must",
        ),
        (
            "[stack]\ntimeouts = { body = '1s' }\n",
            "",
            "stack.timeouts.body: unknown",
        ),
        (
            "[stack.retry]\nmax_attempts = 0\n",
            "",
            "stack.retry.max_attempts: must",
        ),
        (
            "[stack.retry]\nmax_attempts = 'x'\n",
            "",
            "stack.retry.max_attempts: ",
        ),
        (
            "[stack.retry]\nbase_delay = 5\n",
            "",
            "stack.retry.base_delay: ",
        ),
        ("", "tier = -1\n", "line 5: endpoint[0].tier: "),
        ("", "key = 'sk-1'\n", "endpoint[0].key: unknown field"),
        (
            "",
            "api_key_env = 'NOT_SET_ANYWHERE'\n",
            "endpoint[0].api_key_env: must",
        ),
        (
            "",
            "[endpoint.breaker]\nconsecutive_failures = 0\n",
            "endpoint[0].breaker.consecutive_failures: must",
        ),
        (
            "",
            "[endpoint.breaker]\nrecovery_timeout = 'soon'\n",
            "endpoint[0].breaker.recovery_timeout: ",
        ),
        (
            "",
            "[[endpoint]]\nname = 'b'\n",
            "endpoint[1].url: is required without a provider",
        ),
        (
            "",
            "[[endpoint]]\nname = 'b'\nurl = 'b'\n",
            "endpoint[1].url: must",
        ),
        (
            "",
            "[[endpoint]]\nname = 'a'\nurl = 'http://127.0.0.1:1'\n",
            "endpoint[1].name: must",
        ),
    ] {
        let text = format!("{LISTEN}{before}{ENDPOINT}{after}");
        let error = Config::parse(&text).expect_err(&text).to_string();
        assert!(
            error.contains(expected),
            "{expected:?} is missing in {error:?}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!error.contains("sk-1"), "{error}");
    }
    for (text, expected) in [
        (ENDPOINT, "missing field `listen`"),
        (LISTEN, "endpoint: at least one is required"),
        ("listen = ", "line 1: "),
        ("listen = 'nowhere'", "line 1: listen: "),
    ] {
        let error = Config::parse(text).expect_err(text).to_string();
        assert!(
            error.contains(expected),
            "{expected:?} is missing in {error:?}"
        );
    }
    let missing = Config::read("no/such/file.toml".as_ref()).unwrap_err();
    assert!(missing.to_string().starts_with("no/such/file.toml: "));
}

/// The error of a configuration lands in logs and tickets.
#[test]
fn key_in_the_wrong_field_is_not_shown() {
    const KEY: &str = "sk-Proj_1234567890abcdefABCDEF";
    const ENDPOINT: &str = "[[endpoint]]\nname = 'a'\nurl = 'http://127.0.0.1:1/v1'\n";
    let top = |line: &str| format!("listen = '127.0.0.1:0'\n{line}\n{ENDPOINT}");
    let endpoint = |line: &str| format!("listen = '127.0.0.1:0'\n{ENDPOINT}{line}\n");
    let texts = [
        format!("listen = '{KEY}'\n{ENDPOINT}"),
        format!("listen = {KEY}\n{ENDPOINT}"),
        top(&format!("admin = '{KEY}'")),
        top(&format!("admin = ['{KEY}']")),
        top(&format!("hosts = ['https://{KEY}']")),
        top(&format!("origins = ['{KEY}']")),
        top(&format!("{KEY} = 1")),
        top(&format!("'{KEY}' = 1")),
        top(&format!("'{KEY}\"' = 1")),
        top(&format!("[stack]\nstrategy = '{KEY}'")),
        top(&format!("[stack]\nstrategy = {{ '{KEY}' = 1 }}")),
        top(&format!("[stack]\ntimeouts = '{KEY}'")),
        top(&format!("[stack]\ntimeouts = {{ head = '{KEY}' }}")),
        top(&format!("[stack]\ntimeouts = {{ '{KEY}' = '1s' }}")),
        top(&format!("[stack]\nwhen_exhausted = '{KEY}'")),
        top(&format!("[stack]\nmax_wait = '{KEY}'")),
        top(&format!("[stack.retry]\nmax_attempts = '{KEY}'")),
        top(&format!("[stack.retry]\nbase_delay = '{KEY}'")),
        top(&format!("[limits]\nmax_body = '{KEY}'")),
        top(&format!("[limits]\ndrain = '{KEY}'")),
        top(&format!("[limits]\ndrain = '{KEY}\\\"x'")),
        top(&format!("limits = '{KEY}'")),
        format!("listen = '127.0.0.1:0'\nendpoint = '{KEY}'"),
        format!("listen = '127.0.0.1:0'\n[[endpoint]]\nname = 'a'\nurl = '{KEY}'"),
        format!("listen = '127.0.0.1:0'\n[[endpoint]]\nname = 'a'\nurl = 'http://{KEY}@h/'"),
        format!("listen = '127.0.0.1:0'\n[[endpoint]]\nname = 'a'\nurl = '{KEY}://h/'"),
        format!("listen = '127.0.0.1:0'\n[[endpoint]]\nname = ''\nurl = '{KEY}'"),
        format!(
            "listen = '127.0.0.1:0'\n{0}{0}",
            ENDPOINT.replace("'a'", &format!("'{KEY}'"))
        ),
        endpoint(&format!("tier = '{KEY}'")),
        endpoint(&format!("weight = '{KEY}'")),
        endpoint(&format!("pass_credentials = '{KEY}'")),
        endpoint(&format!("pass_headers = ['{KEY} ']")),
        endpoint(&format!("pass_headers = '{KEY}'")),
        endpoint(&format!("api_key_env = '{KEY}'")),
        endpoint(&format!("api_key = '{KEY}'")),
        endpoint(&format!("breaker = '{KEY}'")),
        endpoint(&format!("[endpoint.breaker]\nrecovery_timeout = '{KEY}'")),
        endpoint(&format!("[endpoint.'{KEY}']\na = 1")),
        endpoint(&format!("name = '{KEY}'")),
        endpoint(&format!("'{KEY}' = 1\n'{KEY}' = 1")),
    ];
    for text in texts {
        let error = Config::parse(&text).expect_err(&text);
        let shown = format!("{error} {error:?}").to_lowercase();
        let shows = shown.contains("1234567890") || shown.contains("abcdef");
        assert!(!shows, "{text}\n{error}");
    }
}

#[test]
fn unknown_field_and_invalid_number_are_shown() {
    const ENDPOINT: &str = "[[endpoint]]\nname = 'a'\nurl = 'http://127.0.0.1:1/v1'\n";
    for (line, expected) in [
        (
            "port = 1",
            "port: unknown field `port`, expected one of `listen`",
        ),
        (
            "[limits]\nmax_body = 0",
            "limits.max_body: must be greater than zero, got 0",
        ),
        ("[stack]\nstrategy = 'fast'", "expected one of `failover`"),
    ] {
        let text = format!("listen = '127.0.0.1:0'\n{line}\n{ENDPOINT}");
        let error = Config::parse(&text).expect_err(&text).to_string();
        assert!(error.contains(expected), "{error}");
    }
}
