// An app on Inngest's TypeScript SDK. Each line that it prints is a JSON list: a word, and what it saw.
import { Inngest, NonRetriableError } from "inngest";
import { createServer } from "inngest/node";

const say = (...words) => console.log(JSON.stringify(words));
const client = new Inngest({ id: "typescript" });

const child = client.createFunction(
  { id: "child", triggers: [{ event: "typescript/unused" }] },
  async ({ event }) => event.data.n * 2,
);

const receiver = client.createFunction(
  { id: "receiver", triggers: [{ event: "typescript/sent" }] },
  async ({ event }) => say("received", event.data.n),
);

const run = client.createFunction(
  { id: "run", retries: 2, triggers: [{ event: "typescript/go" }] },
  async ({ event, step, attempt }) => {
    const first = await step.run("first", () => {
      say("first");
      return { n: event.data.n + 1 };
    });
    const flaky = await step.run("flaky", () => {
      say("flaky", attempt);
      if (attempt === 0) throw new Error("not yet");
      return "done";
    });
    const both = await Promise.all([step.run("one", () => 1), step.run("two", () => 2)]);
    await step.sleep("nap", "1s");
    say("waiting");
    const match = "async.data.n == event.data.n";
    const found = await step.waitForEvent("wait", { event: "typescript/decided", timeout: "1m", if: match });
    const none = await step.waitForEvent("none", { event: "typescript/never", timeout: "1s" });
    let caught;
    try {
      await step.run("fails", () => { throw new NonRetriableError("boom"); });
    } catch (error) {
      caught = error.message;
    }
    await step.sendEvent("send", { name: "typescript/sent", data: { n: 7 } });
    const doubled = await step.invoke("child", { function: child, data: { n: 4 } });
    say("end", first, flaky, both, found.data, none, caught, doubled);
    return { ended: true };
  },
);

const server = createServer({ client, functions: [run, child, receiver] });
server.listen(0, "127.0.0.1", () => say("listening", server.address().port));
