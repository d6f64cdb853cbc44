// An agent on the TypeScript SDK: typescript_client.mjs sse|http URL [[tool, arguments], …]
// The key is in AGENT_KEY; what the tools answered is printed as one JSON object.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [kind, url, calls] = process.argv.slice(2);
const Transport = kind === "sse" ? SSEClientTransport : StreamableHTTPClientTransport;
const headers = { Authorization: `Bearer ${process.env.AGENT_KEY}` };
const client = new Client({ name: "typescript-agent", version: "1" });
await client.connect(new Transport(new URL(url), { requestInit: { headers } }));

const { tools } = await client.listTools();  // from here on the SDK checks answers against output schemas
const results = [];
for (const [name, args] of JSON.parse(calls)) {
  results.push(await client.callTool({ name, arguments: args }));
}
console.log(JSON.stringify({ tools, results }));
await client.close();
