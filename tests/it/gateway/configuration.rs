//! The configuration file of the gateway.

use examples::gateway::Config;

#[test]
fn sample_file_is_valid() {
    let config = Config::parse(include_str!("../../../examples/gateway.toml")).unwrap();
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
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
            "endpoint[1]: missing field `url`",
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
