use steadfast_balance::Rule;

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
    let builder = builder.map_err(|error| error.to_string())?;
    // A builder checks some of its values only when it is built.
    let built = builder.clone().build();
    match built {
        Err(error) if !config.endpoint.is_empty() => Err(error.to_string()),
        _ => Ok(builder),
    }
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
            "[stack]\nscored = { health = -1.0 }",
            "stack.scored: health",
        ),
        ("[stack]\nscored = { speed = 1.0 }", "stack.scored.speed"),
        ("[stack]\nscored = { cost = 1.0 }", "stack.scored"),
        ("[stack]\nseed = -1", "stack.seed"),
        ("[stack]\nabandoned_after = 5", "stack.abandoned_after"),
        ("[stack.hedge]\nmax_share = 2.0", "stack.hedge: "),
        (
            "[stack.hedge]\nafter = '1s'\nquantile = 0.9",
            "stack.hedge: ",
        ),
        ("[stack.hedge]\ndelay = '1s'", "stack.hedge.delay"),
        ("[stack.health]\njitter = 2.0", "stack.health: jitter"),
        ("[stack.health]\npath = '/../x'", "stack.health: path"),
        ("[stack.health]\nexpect_status = 99", "stack.health"),
        ("[stack.health]\nevery = '1s'", "stack.health.every"),
        ("[stack.retry]\njitter = 'some'", "stack.retry.jitter"),
        ("[stack.retry]\ndelays = ['soon']", "stack.retry.delays"),
        ("[stack.retry]\ndelays = []", "stack.retry.delays"),
        (
            "[stack.retry]\ndelays = ['1s']\nmax_delay = '2s'",
            "stack.retry.delays",
        ),
        (
            "[stack.retry]\nattempt_header = 'a b'",
            "stack.retry.attempt_header",
        ),
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
            "endpoint[0].name: is required without",
        ),
        (
            "[[endpoint]]\nname = 'a'",
            "endpoint[0].url: is required without",
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
        ("[[endpoint]]\nprovider = 'fastest'", "endpoint[0].provider"),
        (
            &format!("{ENDPOINT}formats = ['message']"),
            "endpoint[0].formats",
        ),
        (
            "[[endpoint]]\nprovider = 'vertex'",
            "endpoint[0].url: is required, because",
        ),
        (
            &format!("{ENDPOINT}api_key_env = ['NOT_SET_ANYWHERE', 'PATH']"),
            "endpoint[0].api_key_env",
        ),
        (
            &format!("{ENDPOINT}token = {{}}"),
            "endpoint[0].token: must have",
        ),
        (
            &format!("{ENDPOINT}token = {{ command = [] }}"),
            "endpoint[0].token: must have",
        ),
        (
            &format!("{ENDPOINT}token = {{ path = 'a' }}"),
            "endpoint[0].token.path",
        ),
        (
            &format!("{ENDPOINT}api_key_env = 'PATH'\ntoken = {{ file = 'a' }}"),
            "endpoint[0].token: must not",
        ),
        (
            &format!("{ENDPOINT}api_key_env = 1"),
            "endpoint[0].api_key_env",
        ),
        (
            "[[endpoint]]\nprovider = 'holysheep'\napi_key_env = 'PATH'",
            "endpoint[0].api_key_env: must name a variable whose value begins as",
        ),
        (&format!("{ENDPOINT}cost = -1.0"), "endpoint[0].cost"),
        (&format!("{ENDPOINT}limits = 'all'"), "endpoint[0].limits"),
        (
            &format!("{ENDPOINT}connect_to = 'here'"),
            "endpoint[0].connect_to",
        ),
        (
            &format!("{ENDPOINT}headers = {{ 'a b' = '1' }}"),
            "endpoint[0].headers",
        ),
        (
            &format!("{ENDPOINT}[endpoint.breaker]\nfailure_rate = {{ share = 0.5 }}"),
            "endpoint[0].breaker.failure_rate",
        ),
        (
            &format!("{ENDPOINT}[endpoint.breaker]\nslow_calls = {{ slow = '1s', share = 0.5 }}"),
            "endpoint[0].breaker.slow_calls",
        ),
        (
            &format!(
                "{ENDPOINT}[endpoint.breaker]\nexcess_failures = {{ failures = 6, part = 0.5 }}"
            ),
            "endpoint[0].breaker.excess_failures.part",
        ),
        (
            &format!(
                "{ENDPOINT}[endpoint.breaker]\nfailures_of_last = {{ failures = 21, window = 20 }}"
            ),
            "endpoint[0].breaker.failures_of_last",
        ),
        (
            &format!("{ENDPOINT}[endpoint.breaker]\nrate_limits = 'open'"),
            "endpoint[0].breaker.rate_limits",
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

/// Each key of the tables, with a value that differs from its default.
#[test]
fn every_setting_reaches_its_builder() {
    let text = r#"
        [stack]
        strategy = "scored"
        scored = { health = 0.5, latency = 0.3, cost = 0.2 }
        timeouts = "short"
        answers = "unchecked"
        when_exhausted = "wait"
        max_wait = "41s"
        overload_wait = "42s"
        probe_wait = "43s"
        prefer_wait = "44s"
        abandoned_after = "45s"
        learned_rates = false
        request_root = "/api"
        seed = 46
        [stack.hedge]
        quantile = 0.47
        min_delay = "48ms"
        max_share = 0.49
        max_hedges = 2
        hedge_non_idempotent = true
        [stack.health]
        interval = "50s"
        timeout = "51s"
        jitter = 0.52
        healthy = 53
        unhealthy = 54
        path = "/live"
        expect_status = 204
        seed = 55
        [stack.retry]
        max_attempts = 56
        base_delay = "57ms"
        max_delay = "58s"
        jitter = "equal"
        max_wait = "59s"
        deadline = "60s"
        budget = 61
        retry_non_idempotent = true
        attempt_header = "x-attempt"
        replay_limit = 62
        seed = 63
        [[endpoint]]
        name = "primary"
        url = "http://127.0.0.1:9001/v1"
        headers = { x-team = "a" }
        tier = 3
        weight = 64.0
        cost = 65.0
        degraded = true
        larger_context = true
        pass_credentials = true
        pass_headers = ["x-tenant-token"]
        pass_query = ["author"]
        formats = ["messages"]
        dangerous_methods = true
        limits = "shared"
        learned_rate = false
        connect_to = "127.0.0.1:66"
        [endpoint.breaker]
        consecutive_failures = 67
        failures_of_last = { failures = 4, window = 18 }
        excess_failures = { failures = 68, share = 0.69 }
        failure_rate = { share = 0.71, calls = 72, min_calls = 70 }
        slow_calls = { slow = "73s", share = 0.74, time = "75s", min_calls = 76 }
        rate_limits = "count"
        ramp = "77s"
        recovery_timeout = "78s"
        max_recovery_timeout = "79s"
        probes = 80
        success_threshold = 81
        probe_timeout = "82s"
        jitter = 0.83
        seed = 84
        "#;
    let config: Config = toml::from_str(text).unwrap();
    let breaker = config.endpoint[0].breaker.builder().unwrap();
    let (scored, health) = (config.stack.scored, config.stack.health);
    let shown = format!(
        "{:?} {breaker:?} {scored:?} {health:?}",
        build(text).unwrap()
    );
    for text in [
        "Scored { health: 0.5, latency: 0.3, cost: 0.2 }",
        "connect: 5s",
        "answers: Unchecked",
        "when_exhausted: Wait, max_wait: 41s, overload_wait: 42s, probe_wait: 43s, prefer_wait: 44s",
        "abandoned_after: Some(45s), learned_rates: false, request_root: \"/api\", seed: Some(46)",
        "Quantile(0.47)",
        "min_delay: 48ms, max_hedges: 2, share: Share(490000000)",
        "interval: 50s, timeout: 51s, jitter: 0.52, healthy: 53, unhealthy: 54",
        "path: \"/live\", status: Some(204), seed: Some(55)",
        "max_attempts: 56, max_wait: 59s",
        "base: 57ms, max: 58s",
        "jitter: Equal",
        "capacity: 61",
        "safety: Safety::always()",
        "random: Seed(63)",
        "x-attempt",
        "limit: 62",
        "deadline: Some(60s)",
        "x-team",
        "tier: 3, weight: 64.0, cost: 65.0, degraded: true, larger_context: true",
        "x-tenant-token",
        "pass_query: [\"author\"]",
        "dangerous_methods: true, formats: [\"messages\"], limits: Shared, learned_rate: false",
        "127.0.0.1:66",
        "consecutive_failures: 67",
        "failures: Some(4), window: 18",
        "Excess { failures: 68, share: 0.69 }",
        "share: 0.71, window: Window { span: Calls(72), min_calls: 70 }",
        "share: 0.74, window: Window { span: Time(75s), min_calls: 76 }",
        "(73s, ",
        "rate_limits: Count",
        "ramp: 77s",
        "recovery_timeout: 78s",
        "max_recovery_timeout: Some(79s)",
        "probes: 80",
        "success_threshold: 81",
        "probe_timeout: 82s",
        "jitter: 0.83",
        "seed: Some(84)",
    ] {
        assert!(shown.contains(text), "{text} is missing in {shown}");
    }
}

#[test]
fn provider_makes_endpoints_with_its_uris_and_headers() {
    // Variables of each process: their values are any text that can stand in a header.
    let text = r#"
        [[endpoint]]
        provider = "mistral"
        api_key_env = ["HOME", "PATH"]
        limits = "shared"
        [[endpoint]]
        name = "azure"
        provider = "azure_openai"
        url = "https://example.openai.azure.com/"
        deployment = "gpt"
        api_version = "2024-10-21"
        api_key_env = "HOME"
        [[endpoint]]
        name = "sheep"
        provider = "holysheep"
        [[endpoint]]
        provider = "openai"
        organization = "org-1"
        project = "proj-1"
        [[endpoint]]
        provider = "anthropic"
        formats = ["chat_completions", "messages"]
        [[endpoint]]
        name = "gpu"
        provider = "vllm"
        formats = []
        token = { file = "/run/token", every = "1m" }
        url = "http://127.0.0.1:8001/v1"
    "#;
    let shown = format!("{:?}", build(text).unwrap());
    for text in [
        r#"name: "mistral-1", base: "https://api.mistral.ai/v1", address: None, credential: Some(Credential(authorization: *))"#,
        r#"name: "mistral-2", base: "https://api.mistral.ai/v1""#,
        r#"name: "azure", base: "https://example.openai.azure.com/openai/deployments/gpt", address: None, credential: Some(Credential(api-key: *))"#,
        r#"name: "sheep-primary", base: "https://api.holysheep.ai/v1""#,
        r#"name: "sheep-backup2", base: "https://backup2.holysheep.ai/v1""#,
        r#"headers: ["openai-organization", "openai-project"]"#,
        r#"default_headers: ["anthropic-version"]"#,
        r#"formats: ["chat_completions", "messages"]"#,
        r#"formats: ["chat_completions", "completions", "embeddings", "responses"]"#,
        "formats: []",
        r#"name: "gpu", base: "http://127.0.0.1:8001/v1", address: None, credential: Some(Credential(authorization: *))"#,
        r#"tokens: {"gpu": Tokens { .. }}"#,
    ] {
        assert!(shown.contains(text), "{text} is missing in {shown}");
    }
}

#[test]
fn routes_and_catalogue_are_read() {
    let config = |stack: &str| -> Config {
        let endpoint = "[[endpoint]]\nname = \"a\"\nurl = \"http://127.0.0.1:1/v1\"\n";
        toml::from_str(&format!("[stack]\n{stack}\n{endpoint}")).expect("a valid file")
    };
    let route = "[[stack.route]]\nmodel = \"fast\"\naliases = [\"quick\"]\n\
        [[stack.route.target]]\nendpoint = \"a\"\nmodel = \"gpt-4o\"\ntier = 1\n";
    let Config { stack, endpoint } = config(&format!("catalogue = true\n{route}"));
    assert_eq!(
        stack.route[0].names().collect::<Vec<_>>(),
        ["fast", "quick"]
    );
    assert!(stack.builder(&endpoint).expect("valid").build().is_ok());

    let Config { stack, endpoint } = config(&route.replace("\"a\"", "\"b\""));
    let builder = stack.builder(&endpoint).expect("valid so far");
    let error = builder.build().expect_err("unknown");
    assert_eq!(error.field(), "route[0].target.endpoint");

    let Config { stack, endpoint } = config("catalogue = true\ncatalogue_file = \"/none\"");
    let error = stack.builder(&endpoint).expect_err("no file");
    assert_eq!(error.field(), "stack.catalogue_file");
}
