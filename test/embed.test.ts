/** Embedding, through the module that `import … from "sluice"` gives. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConfigLoadError, createGateway, type Gateway, type GatewayOptions } from "../core/embed.ts";
import { type FromSchema, type JsonSchema, type Plugin, textReply } from "../core/plugin.ts";

let folder: string;
const opened: Gateway[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-embed-"));
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((gateway) => gateway.stop()));
  await rm(folder, { recursive: true, force: true });
});

const QUIET = { write(): void {} };

/** A gateway that is stopped after the test. */
async function open(config: string | object, options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = await createGateway(config, { logTo: QUIET, ...options });
  opened.push(gateway);
  return gateway;
}

const answering = (body: string, more: object = {}): object => ({
  apiVersion: "sluice/v1",
  listeners: [{ address: "127.0.0.1:0" }],
  routes: [{ name: "all", match: {}, pipeline: [{ plugin: "respond", body }] }],
  ...more,
});

const read = async (gateway: Gateway): Promise<string> => (await fetch(gateway.urls[0]!)).text();

const writeConfig = async (body: string, name = "gateway.json"): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, JSON.stringify(answering(body)));
  return path;
};

const schema = {
  type: "object",
  properties: { word: { type: "string", default: "hello", description: "What to say." } },
  additionalProperties: false,
} as const satisfies JsonSchema;

/** A plugin of the embedding program, which remembers what became of it. */
function createGreet(): { plugin: Plugin<FromSchema<typeof schema>>; events: string[] } {
  const events: string[] = [];
  const plugin: Plugin<FromSchema<typeof schema>> = {
    name: "greet",
    schema,
    terminal: true,
    build({ word }, host) {
      events.push(`built ${word} for ${host.route}`);
      host.onClose(() => void events.push(`closed ${word}`));
      return () => (x) => textReply(200, `${word} ${x.query.get("name")}`);
    },
  };
  return { plugin, events };
}

const greeting = (word?: string): object =>
  answering("", { routes: [{ name: "all", match: {}, pipeline: [{ plugin: "greet", word }] }] });

describe("createGateway", () => {
  it("serves a configuration that is an object, and says where", async () => {
    const gateway = await open(answering("hello", { admin: { address: "127.0.0.1:0" } }));
    expect(gateway.urls).toEqual([expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/)]);
    expect(gateway.generation).toBe(1);
    expect(await read(gateway)).toBe("hello");
    expect((await fetch(`${gateway.adminUrl}/health/ready`)).status).toBe(200);
  });

  it("has no admin listener unless the configuration has one", async () => {
    expect((await open(answering("hello"))).adminUrl).toBeUndefined();
  });

  it("serves a configuration that is a file", async () => {
    expect(await read(await open(await writeConfig("from a file")))).toBe("from a file");
  });

  it("throws every problem at once, with places for a file and pointers for an object", async () => {
    const broken = answering("hello", { listeners: [{ address: "nowhere" }], routs: [] });
    const thrown = await createGateway(broken).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(ConfigLoadError);
    const { diagnostics } = thrown as ConfigLoadError;
    expect(diagnostics.map(({ code, pointer }) => `${code} ${pointer}`).sort()).toEqual([
      "CONFIG_PATTERN /listeners/0/address",
      "CONFIG_UNKNOWN_KEY /routs",
    ]);

    const path = join(folder, "broken.yaml");
    await writeFile(path, "apiVersion: sluice/v1\nlisteners: []\n");
    const error = (await createGateway(path).catch((e: unknown) => e)) as ConfigLoadError;
    expect(error.diagnostics).toContainEqual(expect.objectContaining({ file: path, line: 2, column: 12 }));
  });

  it("throws a CONFIG_LISTEN problem when an address is taken, and disturbs nobody", async () => {
    const first = await open(answering("first"));
    const { host } = new URL(first.urls[0]!);
    const listeners = [{ address: "127.0.0.1:0" }, { address: host }];
    const thrown = await createGateway(answering("second", { listeners }), { logTo: QUIET }).catch(
      (error: unknown) => error,
    );
    expect((thrown as ConfigLoadError).diagnostics).toEqual([
      expect.objectContaining({ code: "CONFIG_LISTEN", pointer: "/listeners/1/address" }),
    ]);
    expect(await read(first)).toBe("first");
  });

  it("takes variables from `env` instead of the process", async () => {
    const gateway = await open(answering("${env:WORD}"), { env: { WORD: "given" } });
    expect(await read(gateway)).toBe("given");
    await expect(createGateway(answering("${env:PATH}"), { env: {} })).rejects.toThrow("CONFIG_ENV_MISSING");
  });

  it("starts relative paths of an object at `baseDir`", async () => {
    await writeFile(join(folder, "word.txt"), "from the folder");
    expect(await read(await open(answering("${file:word.txt}"), { baseDir: folder }))).toBe(
      "from the folder",
    );
  });

  it("writes its log as JSON lines to `logTo`", async () => {
    const lines: string[] = [];
    const gateway = await open(answering("hello"), { logTo: { write: (line) => void lines.push(line) } });
    await read(gateway);
    await gateway.stop();
    expect(lines.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ level: "info", msg: "request", status: 200, route: "all" }),
    );
  });

  it("runs beside another in one process", async () => {
    const [one, two] = await Promise.all([open(answering("one")), open(answering("two"))]);
    expect([await read(one), await read(two)]).toEqual(["one", "two"]);
    await one.reload(answering("three"));
    expect([one.generation, two.generation]).toEqual([2, 1]);
    await one.stop();
    expect(await read(two)).toBe("two");
  });
});

describe("own plugins", () => {
  it("are stages like any other: checked, built, and closed with their generation", async () => {
    const { plugin, events } = createGreet();
    const gateway = await open(greeting(), { plugins: [plugin] });
    expect(await (await fetch(`${gateway.urls[0]}/?name=Ada`)).text()).toBe("hello Ada");
    expect(await gateway.reload(greeting("welcome"))).toEqual({ result: "activated", generation: 2 });
    expect(await (await fetch(`${gateway.urls[0]}/?name=Ada`)).text()).toBe("welcome Ada");
    await gateway.stop();
    expect(events).toEqual([
      "built hello for all",
      "built welcome for all",
      "closed hello",
      "closed welcome",
    ]);
  });

  it("have their options checked against their schema", async () => {
    const { plugin, events } = createGreet();
    const config = answering("", {
      routes: [{ name: "all", match: {}, pipeline: [{ plugin: "greet", wrod: "hi" }] }],
    });
    const thrown = await createGateway(config, { plugins: [plugin] }).catch((error: unknown) => error);
    expect((thrown as ConfigLoadError).diagnostics).toEqual([
      expect.objectContaining({ code: "CONFIG_UNKNOWN_KEY", suggestion: "word" }),
    ]);
    expect(events).toEqual([]);
  });

  it("are refused when their schema is none", async () => {
    const { plugin } = createGreet();
    const schema = { ...plugin.schema, required: "word" };
    await expect(createGateway(answering("hello"), { plugins: [{ ...plugin, schema }] })).rejects.toThrow(
      "schema is invalid: data/required must be array",
    );
  });

  it("cannot take the name of a built-in one", async () => {
    const { plugin } = createGreet();
    await expect(createGateway(greeting(), { plugins: [{ ...plugin, name: "respond" }] })).rejects.toThrow(
      'The plugin "respond" is built in',
    );
  });
});

describe("reload", () => {
  it("goes on with the configuration it had after one that was refused", async () => {
    const gateway = await open(answering("one"));
    const refused = await gateway.reload({ ...answering("two"), routes: [] });
    expect(refused).toMatchObject({ result: "refused", problems: [{ pointer: "/routes" }] });
    expect(await gateway.reload()).toEqual({ result: "unchanged", generation: 1 });
  });

  it("does nothing for a configuration that is the same", async () => {
    const gateway = await open(answering("one"));
    expect(await gateway.reload()).toEqual({ result: "unchanged", generation: 1 });
    expect(await gateway.reload(answering("one"))).toEqual({ result: "unchanged", generation: 1 });
  });

  it("refuses a bad one with its problems, and goes on with the old", async () => {
    const gateway = await open(answering("one"));
    const result = await gateway.reload(answering("two", { routes: [] }));
    expect(result).toMatchObject({ result: "refused", generation: 1, problems: [{ pointer: "/routes" }] });
    expect(await read(gateway)).toBe("one");
    expect(await gateway.reload(answering("three"))).toMatchObject({ result: "activated", generation: 2 });
    expect(await read(gateway)).toBe("three");
  });

  it("reads its file again when asked, without watching it", async () => {
    const gateway = await open(await writeConfig("one"));
    await writeConfig("two");
    expect(await gateway.reload()).toEqual({ result: "activated", generation: 2 });
    expect(await read(gateway)).toBe("two");
  });

  it("happens by itself with `watch`", async () => {
    const swapped = Promise.withResolvers<void>();
    const logTo = {
      write(line: string): void {
        const { msg, generation } = JSON.parse(line) as { msg: string; generation?: number };
        if (msg === "configuration activated" && generation === 2) swapped.resolve();
      },
    };
    const gateway = await open(await writeConfig("one"), { watch: true, logTo });
    await writeConfig("two");
    await swapped.promise;
    expect(await read(gateway)).toBe("two");
  });
});

describe("stop", () => {
  it("closes the listeners, may be called again, and no reload opens them any more", async () => {
    const gateway = await open(answering("one", { admin: { address: "127.0.0.1:0" } }));
    const urls = [gateway.urls[0]!, `${gateway.adminUrl}/health/live`];
    await gateway.stop();
    await gateway.stop();
    expect(await gateway.reload(answering("two"))).toMatchObject({ result: "unchanged" });
    for (const url of urls) await expect(fetch(url)).rejects.toThrow("fetch failed");
  });
});
