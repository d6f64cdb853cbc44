// LangChain JS: its agent with the tools of its MCP client, and a model that does what the test says.
import readline from "node:readline";
import { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { MultiServerMCPClient } from "@langchain/mcp-adapters";
import { AIMessage, createAgent, ToolMessage } from "langchain";

console.log = console.error; // what a library prints is no answer
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
const [url, transport] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${process.env.ATLAS_AGENT_KEY}` };

/** Asks for the calls in its first turn and keeps what it reads in the second. */
class ScriptedModel extends BaseChatModel {
  constructor(asked) {
    super({});
    this.asked = asked;
  }

  _llmType() {
    return "scripted";
  }

  bindTools() {
    return this;
  }

  async _generate(messages) {
    this.read = messages.filter((message) => ToolMessage.isInstance(message));
    const message = this.read.length ? new AIMessage("Done.") : new AIMessage({ content: "", tool_calls: this.asked });
    return { generations: [{ text: message.text, message }] };
  }
}

/** A new client, which is also what its user makes when the gateway has been started again. */
async function connect() {
  const client = new MultiServerMCPClient({ mcpServers: { atlas: { url, transport, headers } } });
  return { client, tools: await client.getTools() };
}

/** End a connection; one that is dead may be unable to say goodbye. */
async function close(client) {
  try {
    await client.close();
  } catch (error) {
    console.error(error);
  }
}

/** The answers that the model reads in its second turn; of an answer in blocks, what stands in the message. */
async function run(calls, tools) {
  const asked = calls.map(({ tool, arguments: args }, number) => ({ id: `call_${number}`, name: tool, args, type: "tool_call" }));
  const model = new ScriptedModel(asked);
  await createAgent({ model, tools }).invoke({ messages: [{ role: "user", content: "Do it." }] });
  const messages = asked.map(({ id }) => model.read.find((message) => message.tool_call_id === id));
  const read = messages.map(({ content }) => (typeof content === "string" ? content : JSON.stringify(content)));
  return { read, flagged: messages.map(({ status }) => status === "error"), error: null };
}

let { client, tools } = await connect();
const instructions = (await client.getClient("atlas")).getInstructions() ?? null;
say({ ready: true, tools: tools.map(({ name }) => name), instructions });
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { calls, reconnect } = JSON.parse(line);
  if (reconnect) {
    await close(client);
    ({ client, tools } = await connect());
    say({ ready: true });
  } else {
    const nothing = calls.map(() => null);
    say(await run(calls, tools).catch((error) => ({ read: nothing, flagged: nothing, error: `${error.name}: ${error.message}` })));
  }
}
await close(client);
