"""LangChain's chat model of OpenAI with its default retries."""

import os

import openai
from langchain_openai import ChatOpenAI

from cases import BROKEN, case, end


def model(name, model="m", **options):
    base = f"{os.environ['GATEWAY']}/v1"
    return ChatOpenAI(model=model, base_url=base, api_key="unused", default_headers={"x-case": name}, **options)


def invoke(name, of="m"):
    answer = model(name, of).invoke("Hi").content
    assert answer.startswith("Hello from healthy"), answer
    return answer


def stream(name, of="m"):
    answer = "".join(chunk.content for chunk in model(name, of).stream("Hi"))
    assert answer.startswith("Hello from healthy"), answer
    return answer


def all_limited(name):
    # With retries of its own, the SDK waits for the hint of two minutes.
    return model(name, "all-limited", max_retries=0).invoke("Hi")


case("langchain-openai", "invoke", invoke)
case("langchain-openai", "stream", stream)
case("langchain-openai", "stream-cut-late", lambda name: stream(name, "cut-late"), openai.APIError, BROKEN)
case("langchain-openai", "bad-request", lambda name: invoke(name, "bad"), openai.BadRequestError)
case("langchain-openai", "all-limited", all_limited, openai.RateLimitError)
end()
