// The Node SDK of OpenAI with its default retries.
import OpenAI from "openai";
import { BROKEN, check, end, fromHealthy } from "./cases.mjs";

const client = new OpenAI({ baseURL: `${process.env.GATEWAY}/v1`, apiKey: "unused" });
const messages = [{ role: "user", content: "Hi" }];
const name = "node-openai";

const create = (call, options, using) =>
  client.chat.completions.create({ model: "m", messages, ...options }, { headers: { "x-case": call }, ...using });

const chat = async (call, model = "m") => fromHealthy((await create(call, { model })).choices[0].message.content);

// With retries of its own, the SDK waits for the hint of two minutes.
const allLimited = (call) => create(call, { model: "all-limited" }, { maxRetries: 0 });

async function stream(call, model = "m") {
  let text = "";
  for await (const chunk of await create(call, { model, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  return fromHealthy(text);
}

async function responseStream(call, model = "m") {
  let text = "";
  const request = { model, input: "Hi", store: false, stream: true };
  for await (const event of await client.responses.create(request, { headers: { "x-case": call } })) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  return fromHealthy(text);
}

await check(name, "chat", chat);
await check(name, "stream", stream);
await check(name, "response-stream", responseStream);
await check(name, "embeddings", async (call) => {
  const options = { headers: { "x-case": call } };
  const answer = await client.embeddings.create({ model: "m", input: "a", encoding_format: "float" }, options);
  return `${answer.data.length} vectors`;
});
const isBroken = (error) => error instanceof OpenAI.APIError && error.message.includes(BROKEN);
await check(name, "stream-cut-late", (call) => stream(call, "cut-late"), isBroken);
await check(name, "response-stream-cut-late", (call) => responseStream(call, "cut-late"), isBroken);
await check(name, "bad-request", (call) => chat(call, "bad"), (error) => error instanceof OpenAI.BadRequestError);
await check(name, "all-limited", allLimited, (error) => error instanceof OpenAI.RateLimitError);
end();
