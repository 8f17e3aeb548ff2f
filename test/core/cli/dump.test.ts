import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type DumpOptions, dump } from "../../../core/cli/dump.ts";
import { loadConfigObject } from "../../../core/config/load.ts";
import type { Plugin } from "../../../core/plugin.ts";
import { cache } from "../../../plugins/cache.ts";
import { ENV, fakeCatalogue } from "../config/fake-plugins.ts";
import { TempFolder } from "../config/temp-folder.ts";

let folder: TempFolder;
beforeEach(() => {
  folder = new TempFolder();
  folder.write("more.yaml", "log: { level: debug }\n");
  folder.write(
    "gateway.yaml",
    `apiVersion: sluice/v1
include: [more.yaml]
listeners: [{ address: "127.0.0.1:\${env:PORT}" }]
admin: { token: literal-secret }
upstreams: { users: { targets: [http://127.0.0.1:8081] } }
pipelines:
  public:
    stages:
      - { plugin: stamp, token: "\${env:SECRET}", text: "$\${not a reference}" }
      - { plugin: stamp, keys: [{ id: a, value: literal-secret }], onError: { status: 503, body: "\${env:SECRET}" } }
routes:
  - name: home
    match: { path: /, headers: { x-key: "\${env:SECRET}" } }
    pipeline:
      - { use: public, when: { header: { x-key: "\${env:SECRET}" } } }
      - { plugin: stamp, name: third, text: "redis://user:literal-secret@127.0.0.1/0", token: "a literal-secret \${env:NOT_SET:-literal-secret}" }
    upstream: "\${env:UPSTREAM}"
`,
  );
});
afterEach(() => folder.remove());

async function run(
  options: Partial<DumpOptions>,
  catalogue = fakeCatalogue,
): Promise<{ status: number; text: string; errors: string }> {
  let text = "";
  let errors = "";
  const status = await dump(
    { format: "yaml", effective: true, ...options },
    {
      cwd: folder.path,
      env: ENV,
      isTty: false,
      write: (part) => void (text += part),
      writeError: (part) => void (errors += part),
    },
    catalogue,
  );
  return { status, text, errors };
}

interface Shown {
  include?: unknown;
  listeners: { address: string; timeouts?: object }[];
  admin: object;
  log: object;
  pipelines: { public: { stages: object[] } };
  routes: { pipeline: object[]; upstream?: string; match: object }[];
}

describe("sluice dump --effective", () => {
  it("shows defaults, flat pipelines and the stage that upstream stands for", async () => {
    const shown = parse((await run({})).text) as Shown;
    expect(shown.listeners[0]).toMatchObject({
      address: "127.0.0.1:${env:PORT}",
      timeouts: { headers: "15s" },
    });
    expect(shown.log).toEqual({ level: "debug", format: "auto", access: true, stageTimings: false });
    expect(shown.include).toBeUndefined();
    const [route] = shown.routes;
    const when = { header: { "x-key": "${env:SECRET}" } };
    expect(route!.pipeline).toEqual([
      {
        plugin: "stamp",
        when,
        text: "$${not a reference}",
        token: "${env:SECRET}",
        count: 1,
        loud: false,
        delay: "10ms",
      },
      {
        plugin: "stamp",
        when,
        onError: { status: 503, body: "${env:SECRET}" },
        keys: [{ id: "a", value: "***" }],
        text: "stamped",
        count: 1,
        loud: false,
        delay: "10ms",
      },
      {
        plugin: "stamp",
        name: "third",
        text: "redis://***@127.0.0.1/0",
        token: "***${env:NOT_SET:-***}",
        count: 1,
        loud: false,
        delay: "10ms",
      },
      { plugin: "balance", upstream: "${env:UPSTREAM}", strategy: "round-robin" },
    ]);
    expect(route!.upstream).toBeUndefined();
    expect(shown.pipelines.public.stages).toHaveLength(2);
  });

  it("does not take defaults for secrets because of their names", async () => {
    folder.write(
      "gateway.yaml",
      `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:8080 }]
upstreams: { users: { targets: [http://127.0.0.1:8081] } }
routes: [{ name: home, match: { path: / }, pipeline: [{ plugin: cache }], upstream: users }]
`,
    );
    const withCache = new Map([...fakeCatalogue, ["cache", cache as Plugin]]);
    const shown = parse((await run({}, withCache)).text) as Shown;
    expect(shown.routes[0]!.pipeline[0]).toMatchObject({
      key: { host: true, query: "all", consumer: false },
    });
  });

  it("can be loaded again", async () => {
    const shown = parse((await run({})).text) as Shown;
    const again = await loadConfigObject(shown, { catalogue: fakeCatalogue, env: ENV });
    expect(again.config.routes[0]!.stages).toHaveLength(4);
  });

  it("shows no secret, in either form or format", async () => {
    for (const effective of [true, false]) {
      for (const format of ["yaml", "json"] as const) {
        const { text } = await run({ effective, format });
        expect(text).not.toMatch(/hunter2|literal-secret/);
        expect(text).toContain("***");
      }
    }
  });
});

describe("sluice dump", () => {
  it("shows the files joined, as they were written", async () => {
    const { status, text } = await run({ effective: false, format: "json" });
    expect(status).toBe(0);
    const shown = JSON.parse(text) as Shown;
    expect(shown.log).toEqual({ level: "debug" });
    expect(shown.admin).toEqual({ token: "***" });
    expect(shown.listeners).toEqual([{ address: "127.0.0.1:${env:PORT}" }]);
    expect(shown.routes[0]!.upstream).toBe("${env:UPSTREAM}");
    expect(shown.routes[0]!.pipeline[0]).toEqual({
      use: "public",
      when: { header: { "x-key": "${env:SECRET}" } },
    });
  });

  it("writes problems where they do not end up in a file", async () => {
    folder.write("gateway.yaml", "apiVersion: 1\n");
    const { status, text, errors } = await run({});
    expect(status).toBe(1);
    expect(text).toBe("");
    expect(errors).toContain("gateway.yaml:1:13 error CONFIG_VALUE");
  });
});
