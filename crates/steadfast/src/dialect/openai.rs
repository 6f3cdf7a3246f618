//! Errors, limits, events and paths of OpenAI.
//!
//! ```json
//! {"error": {"message": "…", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"}}
//! ```
//!
//! Many servers repeat this format, with codes of their own. A few send a mere text as `error`.

use steadfast_core::Class;

use crate::dialect::table::EventRule::{Delta, Failed, Final, Ping, Preamble};
use crate::dialect::table::PathRule::{Stateful, Stateless, StoredUnlessForbidden};
use crate::dialect::table::{Choices, Dialect, Given, HintFormat, Phrase, Usage};

/// OpenAI, and the many servers with a compatible API.
pub(crate) static DIALECT: Dialect = Dialect {
    limit_headers: &["x-ratelimit-"],
    code_fields: &[&[], &["code"], &["type"]],
    text_fields: &[&[], &["message"], &["detail"]],
    codes: &[
        (
            Class::QuotaExhausted,
            &[
                "insufficient_quota",
                "credit_balance_exhausted",
                "organization_spend_limit_exceeded",
                "project_spend_limit_exceeded",
                "organization_usage_limit_exceeded",
                "usage_limit_reached",
                "usage_not_included",
            ],
        ),
        (Class::RateLimited, &["rate_limit_exceeded"]),
        (Class::Overloaded, &["server_is_overloaded", "slow_down"]),
        (
            Class::ContextTooLong,
            &["context_length_exceeded", "string_above_max_length"],
        ),
        (
            Class::ContentPolicy,
            &["content_policy_violation", "image_content_policy_violation"],
        ),
        (
            Class::ModelUnavailable,
            &["model_not_found", "model_not_available"],
        ),
        (Class::Unauthorized, &["invalid_api_key"]),
        (
            Class::CallerFault,
            &[
                "invalid_request_error",
                "invalid_prompt",
                "empty_image_file",
                "failed_to_download_image",
                "image_file_not_found",
                "image_file_too_large",
                "image_parse_error",
                "image_too_large",
                "image_too_small",
                "invalid_base64_image",
                "invalid_image",
                "invalid_image_format",
                "invalid_image_mode",
                "invalid_image_url",
                "unsupported_image_media_type",
            ],
        ),
    ],
    hint_fields: &[
        (&["resets_in_seconds"], HintFormat::Delay),
        (&["resets_at"], HintFormat::Instant),
        (&["retry_after"], HintFormat::Delay),
        (&["retry_after_seconds"], HintFormat::Delay),
        (&["retry_after_ms"], HintFormat::Millis),
    ],
    phrases: &[
        Phrase::begins("too many requests", Given::ServerError, Class::RateLimited),
        Phrase::begins("rate limit", Given::ServerError, Class::RateLimited),
        Phrase::contains("maximum context length", Class::ContextTooLong),
        Phrase::begins("the model ", Given::NotFound, Class::ModelUnavailable)
            .and_contains("does not exist"),
    ],
    events: &[
        ("error", Failed(&[])),
        ("keepalive", Ping),
        ("keep-alive", Ping),
        ("keep_alive", Ping),
        ("heartbeat", Ping),
        ("response.keepalive", Ping),
        ("response.failed", Failed(&["response", "error"])),
        ("response.completed", Final),
        ("response.incomplete", Final),
        ("response.created", Preamble),
        ("response.in_progress", Preamble),
        ("response.queued", Preamble),
        ("response.output_item.added", Preamble),
        ("response.content_part.added", Preamble),
        ("response.*", Delta("delta")),
    ],
    failing: &["error", "network_error"],
    choices: Some(Choices {
        list: "choices",
        reason: "finish_reason",
        shown: &[
            (
                "delta",
                &[
                    "content",
                    "tool_calls",
                    "function_call",
                    "reasoning",
                    "reasoning_content",
                    "refusal",
                    "audio",
                ],
            ),
            ("text", &[]),
        ],
    }),
    answers: &[
        // The native answers of llama.cpp and Ollama have other fields under these paths.
        ("completions", &["choices", "generation_settings"]),
        ("embeddings", &["data", "embedding"]),
        ("responses", &["output"]),
    ],
    usage: Some(Usage {
        field: "usage",
        input: "prompt_tokens",
        output: "completion_tokens",
    }),
    paths: &[
        ("chat/completions", Stateless),
        ("completions", Stateless),
        ("embeddings", Stateless),
        ("moderations", Stateless),
        ("audio/speech", Stateless),
        ("audio/transcriptions", Stateless),
        ("audio/translations", Stateless),
        ("images/generations", Stateless),
        ("images/edits", Stateless),
        ("images/variations", Stateless),
        ("responses", StoredUnlessForbidden),
        ("assistants", Stateful),
        ("batches", Stateful),
        // Stored completions.
        ("chat/completions", Stateful),
        ("containers", Stateful),
        ("conversations", Stateful),
        ("evals", Stateful),
        ("files", Stateful),
        ("fine_tuning", Stateful),
        ("responses", Stateful),
        ("threads", Stateful),
        ("uploads", Stateful),
        ("vector_stores", Stateful),
        ("videos", Stateful),
    ],
    ..Dialect::NONE
};
