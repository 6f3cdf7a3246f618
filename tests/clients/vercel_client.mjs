// Vercel's `ai`. Its own retries are off: they do not read `x-should-retry`.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, streamText } from "ai";
import { BROKEN, check, end, fromHealthy } from "./cases.mjs";

const provider = createOpenAICompatible({
  name: "gateway",
  baseURL: `${process.env.GATEWAY}/v1`,
  apiKey: "unused",
});
const name = "vercel-ai";
const options = (call, model) => ({
  model: provider(model),
  prompt: "Hi",
  headers: { "x-case": call },
  maxRetries: 0,
});

const generate = async (call, model = "m") => fromHealthy((await generateText(options(call, model))).text);

async function stream(call, model = "m") {
  let text = "";
  let failure;
  const onError = ({ error }) => {
    failure ??= error;
  };
  try {
    for await (const part of streamText({ ...options(call, model), onError }).textStream) text += part;
  } catch (error) {
    // The lost connection behind an error event.
    failure ??= error;
  }
  if (failure) throw failure;
  return fromHealthy(text);
}

await check(name, "generate", generate);
await check(name, "stream", stream);
// `onError` gets the error of the event as an object.
await check(name, "stream-cut-late", (call) => stream(call, "cut-late"), (error) => error.message.includes(BROKEN));
await check(name, "bad-request", (call) => generate(call, "bad"), (error) => APICallError.isInstance(error));
await check(name, "all-limited", (call) => generate(call, "all-limited"), (error) => APICallError.isInstance(error));
end();
