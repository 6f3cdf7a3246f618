"""The Python SDK of OpenAI with its default retries."""

import base64
import io
import os

import openai
from pydantic import BaseModel

from cases import BROKEN, case, end

client = openai.OpenAI(base_url=f"{os.environ['GATEWAY']}/v1", api_key="unused")
MESSAGES = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


class City(BaseModel):
    city: str


def headers(name):
    return {"x-case": name}


def chat(name, using=client, **options):
    options = {"model": "m", "messages": MESSAGES} | options
    return using.chat.completions.create(extra_headers=headers(name), **options)


def text(name, **options):
    answer = chat(name, **options).choices[0].message.content
    assert answer.startswith("Hello from healthy"), answer
    return answer


def stream(name, model="m"):
    chunks = [chunk.choices[0].delta.content for chunk in chat(name, model=model, stream=True) if chunk.choices]
    answer = "".join(chunk or "" for chunk in chunks)
    assert answer.startswith("Hello from healthy"), answer
    return answer


def tools(name):
    call = chat(name, tools=[TOOL]).choices[0].message.tool_calls[0].function
    assert (call.name, call.arguments) == ("weather", '{"city":"Bern"}'), call
    return call


def structured(name):
    parsed = client.chat.completions.parse(
        model="m", messages=MESSAGES, response_format=City, extra_headers=headers(name)
    )
    assert parsed.choices[0].message.parsed == City(city="Bern")
    return parsed.choices[0].message.parsed


def embeddings(name):
    answer = client.embeddings.create(model="m", input=["a", "b"], encoding_format="float", extra_headers=headers(name))
    assert len(answer.data) == 2
    return f"{len(answer.data)} vectors"


def models(name):
    return [model.id for model in client.models.list(extra_headers=headers(name))]


def responses(name):
    answer = client.responses.create(model="m", input="Hi", store=False, extra_headers=headers(name)).output_text
    assert answer.startswith("Hello from healthy"), answer
    return answer


def response_stream(name, model="m"):
    events = client.responses.create(model=model, input="Hi", store=False, stream=True, extra_headers=headers(name))
    answer = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert answer.startswith("Hello from healthy"), answer
    return answer


def transcription(name):
    sound = io.BytesIO(bytes(200_000))
    sound.name = "speech.wav"
    answer = client.audio.transcriptions.create(model="m", file=sound, extra_headers=headers(name))
    assert answer.text == "spoken words", answer
    return answer.text


def image(name):
    data = base64.b64encode(os.urandom(5 << 20)).decode()
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    return text(name, messages=[{"role": "user", "content": [picture]}])


def all_limited(name):
    # With retries of its own, the SDK waits for the hint of two minutes.
    return chat(name, client.with_options(max_retries=0), model="all-limited")


for call in (text, stream, tools, structured, embeddings, models, responses, response_stream, transcription, image):
    case("python-openai", call.__name__, call)
for name, call in (("stream-cut-late", stream), ("response-stream-cut-late", response_stream)):
    case("python-openai", name, lambda name, call=call: call(name, "cut-late"), openai.APIError, BROKEN)
case("python-openai", "bad-request", lambda name: text(name, model="bad"), openai.BadRequestError)
case("python-openai", "all-limited", all_limited, openai.RateLimitError, "ate limit")
end()
