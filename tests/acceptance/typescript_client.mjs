// An agent on the TypeScript SDK: typescript_client.mjs sse|http URL [[tool, arguments], …] [follow]
// The key is in AGENT_KEY; what the tools answered is printed as one JSON object. With `follow` the
// agent subscribes to the case of each held call, and prints the resources as they are when it is over.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

const [kind, url, calls, follow] = process.argv.slice(2);
const Transport = kind === "sse" ? SSEClientTransport : StreamableHTTPClientTransport;
const headers = { Authorization: `Bearer ${process.env.AGENT_KEY}` };
const client = new Client({ name: "typescript-agent", version: "1" });
await client.connect(new Transport(new URL(url), { requestInit: { headers } }));

const { tools } = await client.listTools();  // from here on the SDK checks answers against output schemas
const results = [];
for (const [name, args] of JSON.parse(calls)) {
  results.push(await client.callTool({ name, arguments: args }));
}

const updates = new Map();  // what to do when a resource has changed
client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => updates.get(params.uri)?.());
const followed = [];
for (const { structuredContent } of follow ? results : []) {
  const uri = `atlas://cases/${structuredContent.case_id}`;
  for (let isOver = false; !isOver; ) {
    const changed = new Promise((resolve) => updates.set(uri, resolve));
    await client.subscribeResource({ uri });
    const { contents } = await client.readResource({ uri });
    const found = JSON.parse(contents[0].text);
    isOver = !["QUEUED", "PENDING_REVIEW", "AUTHORIZED", "EXECUTING"].includes(found.status);
    await (isOver ? followed.push(found) : changed);
  }
}
console.log(JSON.stringify({ tools, results, followed }));
await client.close();
