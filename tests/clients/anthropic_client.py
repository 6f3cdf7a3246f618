"""The Python SDK of Anthropic with its default retries."""

import os

import anthropic

from cases import BROKEN, case, end

client = anthropic.Anthropic(base_url=os.environ["GATEWAY"], api_key="unused")


def create(name, model="m", using=client, **options):
    return using.messages.create(
        model=model,
        max_tokens=100,
        messages=[{"role": "user", "content": "Hi"}],
        extra_headers={"x-case": name},
        **options,
    )


def message(name, model="m"):
    answer = create(name, model).content[0].text
    assert answer.startswith("Hello from healthy"), answer
    return answer


def stream(name, model="m"):
    events = create(name, model, stream=True)
    answer = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert answer.startswith("Hello from healthy"), answer
    return answer


def all_limited(name):
    # With retries of its own, the SDK waits for the hint of two minutes.
    return create(name, "all-limited", client.with_options(max_retries=0))


case("python-anthropic", "message", message)
case("python-anthropic", "stream", stream)
case("python-anthropic", "stream-cut-late", lambda name: stream(name, "cut-late"), anthropic.APIError, BROKEN)
case("python-anthropic", "bad-request", lambda name: message(name, "bad"), anthropic.BadRequestError)
case("python-anthropic", "all-limited", all_limited, anthropic.RateLimitError)
end()
