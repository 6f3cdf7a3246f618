use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    stack: StackConfig,
    #[serde(default)]
    endpoint: Vec<EndpointConfig>,
}

fn build(text: &str) -> Result<AiStackBuilder, String> {
    // The text of a format's error quotes its line, and so contains all fields of the line.
    let config = toml::Deserializer::parse(text).map_err(|error| error.message().to_owned())?;
    let config: Config = serde_path_to_error::deserialize(config).map_err(|error| {
        let path = error.path().to_string();
        format!("{path}: {}", error.into_inner().message())
    })?;
    let builder = config.stack.builder(&config.endpoint);
    builder.map_err(|error| error.to_string())
}

#[test]
fn timeouts_are_read_from_name_or_table() {
    for (text, expected) in [
        ("", Timeouts::DEFAULT),
        ("timeouts = 'short'", Timeouts::SHORT),
        ("timeouts = 'medium'", Timeouts::MEDIUM),
        ("timeouts = 'long'", Timeouts::LONG),
        (
            "timeouts = { head = '2s', idle = '90s' }",
            Timeouts {
                head: Duration::from_secs(2),
                idle: Duration::from_secs(90),
                ..Timeouts::DEFAULT
            },
        ),
    ] {
        let config: StackConfig = toml::from_str(text).unwrap();
        assert_eq!(config.timeouts, expected, "{text}");
    }
}

#[test]
fn invalid_field_is_named() {
    const ENDPOINT: &str = "[[endpoint]]\nname = 'a'\nurl = 'http://127.0.0.1:1/v1'\n";
    for (text, named) in [
        ("[stack]\nstrategy = 'fastest'", "stack.strategy"),
        ("[stack]\ntimeouts = 'quick'", "stack.timeouts"),
        (
            "[stack]\ntimeouts = { head = '2 bananas' }",
            "stack.timeouts.head",
        ),
        ("[stack]\ntimeouts = { body = '2s' }", "stack.timeouts.body"),
        ("[stack]\nanswers = 'blind'", "stack.answers"),
        ("[stack]\ntimeouts = { idle = '0s' }", "stack.timeouts.idle"),
        (
            "[stack.retry]\nmax_attempts = 0",
            "stack.retry.max_attempts",
        ),
        (
            "[stack.retry]\nmax_attempts = -1",
            "stack.retry.max_attempts",
        ),
        (
            "[stack.retry]\nbase_delay = '9s'\nmax_delay = '1s'",
            "stack.retry.max_delay",
        ),
        ("[stack.retry]\nbase_delay = '0s'", "stack.retry.base_delay"),
        ("[stack.retry]\nmax_delay = '0s'", "stack.retry.max_delay"),
        ("[stack.retry]\ndeadline = '0s'", "stack.retry.deadline"),
        (
            "[stack.retry]\nreplay_limit = '1 MiB'",
            "stack.retry.replay_limit",
        ),
        ("[stack.retry]\nretries = 3", "stack.retry.retries"),
        (
            "[[endpoint]]\nurl = 'http://127.0.0.1:1'",
            "endpoint[0]: missing field `name`",
        ),
        (
            "[[endpoint]]\nname = 'a'",
            "endpoint[0]: missing field `url`",
        ),
        (
            "[[endpoint]]\nname = 'a'\nurl = 'nowhere'",
            "endpoint[0].url",
        ),
        (
            "[[endpoint]]\nname = ''\nurl = 'http://127.0.0.1:1'",
            "endpoint[0].name",
        ),
        (&format!("{ENDPOINT}tier = -1"), "endpoint[0].tier"),
        (
            &format!("{ENDPOINT}api_key_env = 'NOT_SET_ANYWHERE'"),
            "endpoint[0].api_key_env",
        ),
        (
            &format!("{ENDPOINT}pass_headers = ['a b']"),
            "endpoint[0].pass_headers",
        ),
        (
            &format!("{ENDPOINT}[endpoint.breaker]\nconsecutive_failures = 0"),
            "endpoint[0].breaker.consecutive_failures",
        ),
        (
            &format!("{ENDPOINT}[endpoint.breaker]\nrecovery_timeout = 'soon'"),
            "endpoint[0].breaker.recovery_timeout",
        ),
        (
            &format!("{ENDPOINT}[endpoint.breaker]\nfailures = 1"),
            "endpoint[0].breaker.failures",
        ),
    ] {
        let error = build(text).expect_err(text);
        assert!(error.starts_with(named), "{text}: {error}");
    }
}

#[test]
fn key_in_place_of_variable_is_not_shown() {
    let text = "[[endpoint]]\nname = 'a'\nurl = 'http://127.0.0.1:1'\napi_key_env = 'sk-secret'";
    let error = build(text).unwrap_err();
    assert!(
        error.contains("api_key_env") && !error.contains("secret"),
        "{error}"
    );
}

#[test]
fn long_delay_moves_unset_bound() {
    for text in [
        "base_delay = '20s'",
        "max_delay = '100ms'",
        "base_delay = '1s'\nmax_delay = '1s'",
    ] {
        let config: RetryConfig = toml::from_str(text).unwrap();
        assert!(config.layer().is_ok(), "{text}");
    }
}

#[test]
fn waits_of_the_balancer_are_applied() {
    let config: StackConfig = toml::from_str(
        "when_exhausted = 'wait'\nmax_wait = '11s'\noverload_wait = '12s'\nprobe_wait = '13s'\n\
         prefer_wait = '14s'",
    )
    .unwrap();
    let shown = |config: &StackConfig| {
        let builder = config.balance(steadfast_balance::EndpointBalanceLayer::builder());
        format!("{builder:?}")
    };
    let text = shown(&config);
    for part in [
        "when_exhausted: Wait",
        "max_wait: 11s",
        "overload_wait: 12s",
        "probe_wait: 13s",
        "prefer_wait: 14s",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let defaults = format!("{:?}", steadfast_balance::EndpointBalanceLayer::builder());
    assert_eq!(shown(&StackConfig::default()), defaults);
}

#[test]
fn rules_of_an_endpoint_are_read_and_checked() {
    let config = |rules: &str| {
        let text = "[[endpoint]]\nname = 'a'\nurl = 'http://127.0.0.1:1/v1'\n";
        format!("{text}{rules}")
    };
    let text = config(
        "[[endpoint.rule]]\nstatus = 403\ncontains = 'run out of credits'\nclass = 'quota_exhausted'\n\
         [[endpoint.rule]]\nheader = 'server: relay'\ncode = 'X'\nclass = 'rate_limited'\nhint = '20s'\nscope = 'key'\n",
    );
    let read: Config = toml::from_str(&text).expect("rules");
    let spent = Rule::new(steadfast_core::Class::QuotaExhausted);
    let limited = Rule::new(steadfast_core::Class::RateLimited);
    let expected = [
        spent.status(403).contains("Run out of credits"),
        limited
            .header("server", "relay")
            .code("x")
            .hint(Duration::from_secs(20))
            .scope(steadfast_core::Scope::Key),
    ];
    assert_eq!(read.endpoint[0].rule, expected);

    for (rule, named) in [
        (
            "[[endpoint.rule]]\nclass = 'x'\nstatus = 1",
            "unknown class",
        ),
        ("[[endpoint.rule]]\nstatus = 403", "missing field `class`"),
        ("[[endpoint.rule]]\nclass = 'timeout'\nregex = 'x'", "regex"),
        ("[[endpoint.rule]]\nclass = 'timeout'", "rule[0].rule"),
        (
            "[[endpoint.rule]]\nclass = 'timeout'\nstatus = 5",
            "rule[0].status",
        ),
    ] {
        let built = build(&config(rule)).and_then(|builder| {
            let client = |_: http::Request<crate::RequestBody>| async {
                Ok::<_, std::convert::Infallible>(http::Response::new(crate::AnyBody::default()))
            };
            let built = builder.build_on(tower::service_fn(client));
            built.map_err(|error| error.to_string())
        });
        let error = built.expect_err(rule);
        assert!(error.contains(named), "{rule}: {error}");
    }
}
