// Runs the calls of one client, and prints a line for each.
let failed = false;
// The message of the gateway about a stream that broke after its first tokens.
export const BROKEN = "the stream of dying broke after 2 tokens";

// Expects an error for which `isExpected` holds, if given.
export async function check(client, name, run, isExpected) {
  let problem;
  let result;
  try {
    result = await run(`${client}/${name}`);
    if (isExpected) problem = `returned ${result}, expected an error`;
  } catch (error) {
    result = error;
    if (!isExpected || !isExpected(error)) problem = error.stack ?? `threw ${JSON.stringify(error)}`;
  }
  console.log(`${problem ? "failed" : "ok    "} ${client}/${name}: ${String(problem ?? result.message ?? result).slice(-600)}`);
  failed ||= Boolean(problem);
}

export function fromHealthy(text) {
  if (!text.startsWith("Hello from healthy")) throw new Error(`unexpected text: ${text}`);
  return text;
}

export function end() {
  process.exit(failed ? 1 : 0);
}
