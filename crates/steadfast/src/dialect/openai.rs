//! Errors, limits, events and paths of OpenAI.

use steadfast_core::Class;

use crate::dialect::table::EventRule::{Delta, Failed, Final, Preamble};
use crate::dialect::table::PathRule::{Stateful, Stateless, StatelessUnlessStored};
use crate::dialect::table::{Choices, Dialect, Given, Phrase};

/// OpenAI, and the many servers with a compatible API.
pub(crate) static DIALECT: Dialect = Dialect {
    limit_headers: &["x-ratelimit-"],
    code_fields: &[&[], &["code"], &["type"]],
    text_fields: &[&[], &["message"], &["detail"]],
    codes: &[
        ("insufficient_quota", Class::QuotaExhausted),
        ("credit_balance_exhausted", Class::QuotaExhausted),
        ("organization_spend_limit_exceeded", Class::QuotaExhausted),
        ("project_spend_limit_exceeded", Class::QuotaExhausted),
        ("organization_usage_limit_exceeded", Class::QuotaExhausted),
        ("rate_limit_exceeded", Class::RateLimited),
        ("server_is_overloaded", Class::Overloaded),
        ("slow_down", Class::Overloaded),
        ("context_length_exceeded", Class::ContextTooLong),
        ("string_above_max_length", Class::ContextTooLong),
        ("content_policy_violation", Class::ContentPolicy),
        ("image_content_policy_violation", Class::ContentPolicy),
        ("model_not_found", Class::ModelUnavailable),
        ("model_not_available", Class::ModelUnavailable),
        ("invalid_api_key", Class::Unauthorized),
        ("invalid_request_error", Class::CallerFault),
        ("invalid_prompt", Class::CallerFault),
        ("empty_image_file", Class::CallerFault),
        ("failed_to_download_image", Class::CallerFault),
        ("image_file_not_found", Class::CallerFault),
        ("image_file_too_large", Class::CallerFault),
        ("image_parse_error", Class::CallerFault),
        ("image_too_large", Class::CallerFault),
        ("image_too_small", Class::CallerFault),
        ("invalid_base64_image", Class::CallerFault),
        ("invalid_image", Class::CallerFault),
        ("invalid_image_format", Class::CallerFault),
        ("invalid_image_mode", Class::CallerFault),
        ("invalid_image_url", Class::CallerFault),
        ("unsupported_image_media_type", Class::CallerFault),
    ],
    phrases: &[
        Phrase::contains("maximum context length", Class::ContextTooLong),
        Phrase::begins("the model ", Given::NotFound, Class::ModelUnavailable)
            .and_contains("does not exist"),
    ],
    // Moonshot limits all models of an account together.
    account_texts: &["your account "],
    events: &[
        ("error", Failed(&[])),
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
    choices: Some(Choices {
        list: "choices",
        reason: "finish_reason",
        shown: &[
            &["delta", "content"],
            &["delta", "tool_calls"],
            &["delta", "function_call"],
            &["delta", "reasoning"],
            &["delta", "reasoning_content"],
            &["delta", "refusal"],
            &["delta", "audio"],
            &["text"],
        ],
    }),
    paths: &[
        ("chat/completions", Stateless),
        ("completions", Stateless),
        ("embeddings", Stateless),
        ("moderations", Stateless),
        ("responses", StatelessUnlessStored),
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
