// The AI SDK: generateText with the tools of its MCP client, and a model that does what the test says.
import readline from "node:readline";
import { createMCPClient } from "@ai-sdk/mcp";
import { generateText, stepCountIs } from "ai";
import { MockLanguageModelV3 } from "ai/test";

console.log = console.error; // what a library prints is no answer
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
const [url, type] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${process.env.ATLAS_AGENT_KEY}` };
const usage = { inputTokens: {}, outputTokens: {} };
const turn = (content, unified) => ({ content, finishReason: { unified }, usage, warnings: [] });

/**
 * A new client, which is also what its user makes when the gateway has been started again. The old one is
 * left alone: over SSE, closing it when its stream has broken rejects a promise of its own and ends the process.
 */
async function connect() {
  const client = await createMCPClient({ transport: { type, url, headers } });
  return { client, tools: await client.tools() };
}

/** What a tool message says to the model: the text blocks of an answer, or the text of what was thrown. */
const textOf = ({ type: kind, value }) =>
  kind === "content" ? value.map(({ text }) => text).join("\n")
  : typeof value === "string" ? value : JSON.stringify(value);

/** The answers that the model reads in its second turn. */
async function run(calls, tools) {
  const asked = calls.map(({ tool, arguments: given }, number) => (
    { type: "tool-call", toolCallId: `call_${number}`, toolName: tool, input: JSON.stringify(given) }
  ));
  const turns = [turn(asked, "tool-calls"), turn([{ type: "text", text: "Done." }], "stop")];
  const model = new MockLanguageModelV3({ doGenerate: turns });
  await generateText({ model, tools, prompt: "Do it.", stopWhen: stepCountIs(2) });
  const results = model.doGenerateCalls.at(-1).prompt.filter(({ role }) => role === "tool").flatMap(({ content }) => content);
  const outputs = asked.map(({ toolCallId }) => results.find((result) => result.toolCallId === toolCallId).output);
  const flagged = outputs.map(({ type: kind }) => kind.startsWith("error") || null); // isError is not passed on
  return { read: outputs.map(textOf), flagged, error: null };
}

let { client, tools } = await connect();
say({ ready: true, tools: Object.keys(tools), instructions: client.instructions ?? null });
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { calls, reconnect } = JSON.parse(line);
  if (reconnect) {
    ({ client, tools } = await connect());
    say({ ready: true });
  } else {
    const nothing = calls.map(() => null);
    say(await run(calls, tools).catch((error) => ({ read: nothing, flagged: nothing, error: `${error.name}: ${error.message}` })));
  }
}
await client.close();
