/** The repository tests itself: what STYLE and DESIGN promise about files, imports, docs and examples holds. */
import { globSync, readFileSync } from "node:fs";
import { basename, dirname, join, matchesGlob, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { findStale, renderPublished } from "../core/cli/write-schemas.ts";
import { CONFIG_CODES } from "../core/config/codes.ts";
import { loadConfig } from "../core/config/load.ts";
import { gatewaySchema } from "../core/config/schema.ts";
import { assertSchema } from "../core/config/validate.ts";
import { createGateway } from "../core/embed.ts";
import { ERRORS } from "../core/errors.ts";
import type { JsonSchema } from "../core/plugin.ts";
import { catalogue } from "../plugins/index.ts";
import vitestConfig from "../vitest.config.ts";

const ROOT = resolve(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const list = (...patterns: string[]): string[] => globSync(patterns, { cwd: ROOT }).sort();

const SOURCES = list("core/**/*.ts", "plugins/**/*.ts");

const COMMENT_OR_TEXT =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g;

/** Source without comments. */
function withoutComments(path: string): string {
  return read(path).replace(COMMENT_OR_TEXT, (text) => (text.startsWith("/") ? "" : text));
}

/** Source without comments and with the contents of texts taken out, so that only code is searched. */
function codeOf(path: string): string {
  return read(path).replace(COMMENT_OR_TEXT, (text) => (text.startsWith("/") ? "" : '""'));
}

/** What is loaded with a file, as it is written. */
function staticImportsOf(path: string): string[] {
  const statement = /^\s*(?:import|export)\s+(?!type\b)(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm;
  return [...withoutComments(path).matchAll(statement)].map(([, from]) => from!);
}

/** The same, with what is loaded later. */
function importsOf(path: string): string[] {
  const later = withoutComments(path).matchAll(/\bimport\("([^"]+)"\)/g);
  return [...staticImportsOf(path), ...[...later].map(([, from]) => from!)];
}

/** The same, with types. */
function allImportsOf(path: string): string[] {
  const source = withoutComments(path);
  return [...source.matchAll(/\bfrom\s+"([^"]+)"|\bimport\s*\(?"([^"]+)"/g)].map(([, a, b]) => (a ?? b)!);
}

/** The file that a relative import means. */
const target = (path: string, from: string): string => join(dirname(path), from);

/** What a page says by a link: keys are told once for all plugins. */
const LINKED = "(../configuration.md#keys)";
const keys = /^## Keys\n.*?(?=^## )/ms.exec(read("docs/configuration.md"))![0];

describe.each([...catalogue.values()])("the plugin $name", ({ name, schema }) => {
  it("has a file, a schema, a test, an example and a docs page of its name", () => {
    const files = [
      `plugins/${name}.ts`,
      `schemas/plugins/${name}.json`,
      `test/plugins/${name}.test.ts`,
      `examples/${name}.yaml`,
      `docs/plugins/${name}.md`,
    ];
    expect(list(...files)).toEqual(files.toSorted());
  });

  it("has a closed schema, and every option has a description and is in the docs", () => {
    const page = read(`docs/plugins/${name}.md`);
    const docs = page.includes(LINKED) ? page + keys : page;
    const options = describedOptions(schema, "");
    expect(schema["additionalProperties"]).toBe(false);
    expect(options.filter(({ description }) => description.trim() === "").map(({ path }) => path)).toEqual(
      [],
    );
    const missing = options.filter(({ key }) => !new RegExp(`(?<![\\w-])${key}(?![\\w-])`).test(docs));
    expect(missing.map(({ path }) => path)).toEqual([]);
  });

  it("has a schema that is one", () => {
    expect(() => assertSchema(schema)).not.toThrow();
  });

  it("has the defaults of its options in the docs", () => {
    const page = read(`docs/plugins/${name}.md`);
    const bare = (text: string): string => text.replaceAll(/[`"]/g, "").trim();
    const wrong = Object.entries(schema.properties ?? {}).flatMap(([key, option]) => {
      const fallback = typeof option === "object" ? option["default"] : undefined;
      if (fallback === undefined || typeof fallback === "object") return [];
      const cell = new RegExp(`^\\| [^|]*\`${key}\`[^|]* \\| ([^|]*) \\|`, "m").exec(page)?.[1];
      const isRight = cell?.startsWith("as in [") || (cell !== undefined && bare(cell) === String(fallback));
      return isRight ? [] : [`${key}: ${String(fallback)}, not ${cell}`];
    });
    expect(wrong).toEqual([]);
  });

  it("says in its file what it does, and is used by its example", () => {
    expect(read(`plugins/${name}.ts`)).toMatch(/^\/\*\*\n \* \S/);
    expect(read(`examples/${name}.yaml`)).toMatch(new RegExp(`plugin: ${name}\\b`));
  });

  it("links its example in its docs", () => {
    expect(read(`docs/plugins/${name}.md`)).toContain(`../../examples/${name}.yaml`);
  });
});

interface Option {
  key: string;
  path: string;
  description: string;
}

/** All options of a schema, at any depth. */
function describedOptions(schema: JsonSchema, path: string): Option[] {
  const below = Object.entries(schema).flatMap(([keyword, value]): Option[] => {
    if (keyword === "properties") return [];
    const schemas = Array.isArray(value) ? value : [value];
    return schemas.flatMap((each: unknown) =>
      typeof each === "object" && each !== null ? describedOptions(each as JsonSchema, path) : [],
    );
  });
  const own = Object.entries(schema.properties ?? {}).flatMap(([key, option]) => {
    if (typeof option === "boolean") return [];
    const at = `${path}/${key}`;
    return [{ key, path: at, description: option.description ?? "" }, ...describedOptions(option, at)];
  });
  return [...own, ...below];
}

describe("the schema of a configuration", () => {
  it("is one", () => {
    expect(() => assertSchema(gatewaySchema)).not.toThrow();
    expect(() => assertSchema({ ...gatewaySchema, type: "map" })).toThrow("schema is invalid");
  });
});

describe("the catalogue", () => {
  it("is sorted and lists every plugin's file", () => {
    const names = [...catalogue.keys()];
    expect(names).toEqual(names.toSorted());
    const files = list("plugins/*.ts").map((file) => basename(file, ".ts"));
    expect(files.filter((name) => name !== "index")).toEqual(names);
  });

  it("is what the published schemas were made from", () => {
    expect(findStale(join(ROOT, "schemas"), renderPublished(catalogue))).toEqual([]);
  });

  it("is all that there are pages and examples of plugins for", () => {
    expect(list("docs/plugins/*.md").map((file) => basename(file, ".md"))).toEqual([...catalogue.keys()]);
    expect(list("schemas/plugins/*.json").map((file) => basename(file, ".json"))).toEqual([
      ...catalogue.keys(),
    ]);
  });
});

describe("error codes", () => {
  const docs = read("docs/errors.md");
  const documented = [...docs.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code!);

  it("are documented, each once, and no others are", () => {
    const codes = [...Object.keys(ERRORS), ...Object.keys(CONFIG_CODES)];
    expect(documented.toSorted()).toEqual(codes.toSorted());
  });

  it("have the status that the docs say", () => {
    for (const [code, { status }] of Object.entries(ERRORS))
      expect(docs).toContain(`| \`${code}\` | ${status} |`);
  });

  it("of the configuration are all in the table, wherever they are raised", () => {
    const raised = SOURCES.flatMap((file) =>
      [...read(file).matchAll(/"(CONFIG_[A-Z_]+)"/g)].map(([, code]) => code!),
    );
    expect([...new Set(raised)].filter((code) => !(code in CONFIG_CODES))).toEqual([]);
  });
});

describe("tests", () => {
  const files = list("test/**/*.ts").filter((file) => !file.startsWith("test/support/"));

  it("are all found by the runner", () => {
    const globs = vitestConfig.test!.include!;
    const tests = files.filter(
      (file) => /from "vitest"/.test(read(file)) && /^\s*(describe|it|test)[.(]/m.test(read(file)),
    );
    expect(tests.length).toBeGreaterThan(30);
    expect(tests.filter((file) => !globs.some((glob) => matchesGlob(file, glob)))).toEqual([]);
    const elsewhere = list("{core,plugins,bench,examples}/**/*.test.ts");
    // Those of example plugins are for `sluice test`, which test/e2e/example-plugins.test.ts runs.
    const ours = elsewhere.filter((file) => !/node_modules\/|^examples\/plugins\//.test(file));
    expect(ours).toEqual([]);
  });

  it("are all run", () => {
    const off =
      /\b(?:describe|it|test)\s*\.\s*(?:only|skip|todo|fails)\b|\b(?:xit|xdescribe|fit|fdescribe)\(/;
    expect(files.filter((file) => off.test(codeOf(file)))).toEqual([]);
  });
});

describe("imports", () => {
  /** Files that put the gateway and its built-in plugins together. */
  const ASSEMBLY = [
    "core/worker.ts",
    "core/cli/write-schemas.ts",
    "core/embed.ts",
    "core/main.ts",
    "core/testing/test-gateway.ts",
  ];

  it("never go from the core to plugins", () => {
    const offenders = SOURCES.filter((file) => file.startsWith("core/")).filter((file) =>
      allImportsOf(file).some((from) => target(file, from).startsWith("plugins/")),
    );
    expect(offenders.filter((file) => !ASSEMBLY.includes(file))).toEqual([]);
  });

  /** What some plugins have for all others: sending to upstreams, checking passwords, waiting for each other, counting. */
  const FOR_ALL_PLUGINS = [
    "plugins/auth/passwords.ts",
    "plugins/balance/balancer.ts",
    "plugins/balance/options.ts",
    "plugins/cache/coalescing/open-coalescing.ts",
    "plugins/cache/key.ts",
    "plugins/cache/schema.ts",
    "plugins/concurrency/held.ts",
    "plugins/limit/keys.ts",
    "plugins/limit/limiter.ts",
    "plugins/limit/open-limiters.ts",
  ];

  it("never go from one plugin to another", () => {
    const owner = (file: string): string => file.split("/")[1]!.replace(/\.ts$/, "");
    const offenders = SOURCES.filter(
      (file) => file.startsWith("plugins/") && file !== "plugins/index.ts",
    ).flatMap((file) =>
      allImportsOf(file)
        .filter((from) => from.startsWith("."))
        .map((from) => target(file, from))
        .filter((to) => to.startsWith("plugins/") && owner(to) !== owner(file))
        .filter((to) => !FOR_ALL_PLUGINS.includes(to))
        .map((to) => `${file} -> ${to}`),
    );
    expect(offenders).toEqual([]);
  });

  it("of plugins know nothing of how the core does it", () => {
    const closed =
      /^core\/(server|gateway|generation|control|embed|runtime|main|pool|router|pipeline|keep)\.ts$|^core\/(upstream|admin|cli)\//;
    const offenders = SOURCES.filter((file) => file.startsWith("plugins/")).flatMap((file) =>
      allImportsOf(file)
        .map((from) => target(file, from))
        .filter((to) => closed.test(to))
        .map((to) => `${file} -> ${to}`),
    );
    expect(offenders).toEqual([]);
  });

  it("have no cycles", () => {
    const graph = new Map(
      SOURCES.map((file) => [
        file,
        importsOf(file)
          .filter((from) => from.startsWith("."))
          .map((from) => target(file, from))
          .filter((to) => to.endsWith(".ts")),
      ]),
    );
    const edges = [...graph.values()].flat();
    expect(edges.length).toBeGreaterThan(SOURCES.length);
    expect(edges.filter((to) => !graph.has(to))).toEqual([]);
    expect(findCycles(graph)).toEqual([]);
  });

  it("end in .ts and say node: for Node's modules", () => {
    const builtIn =
      /^(?:fs|net|http|path|stream|events|util|url|crypto|os|zlib|child_process|buffer)(?:\/|$)/;
    const offenders = SOURCES.flatMap((file) =>
      allImportsOf(file)
        .filter((from) => (from.startsWith(".") ? !/\.(ts|json)$/.test(from) : builtIn.test(from)))
        .map((from) => `${file} -> ${from}`),
    );
    expect(offenders).toEqual([]);
  });

  it.each([
    ["fastify", ["core/server.ts"]],
    ["undici", ["core/upstream/pool.ts"]],
    ["ajv", ["core/config/validate.ts", "plugins/validate/schema.ts"]], // of configurations, of requests
    ["bcrypt", ["plugins/auth/bcrypt.ts"]],
    ["pino", ["core/observe/log.ts"]],
    ["pino-pretty", ["core/observe/log.ts"]],
    ["prom-client", ["core/observe/metrics.ts"]],
    ["ioredis", ["core/store/redis.ts"]],
    ["jose", ["core/jwt/keys.ts", "plugins/token-issuer/keys.ts"]], // checking, signing
    ["chokidar", ["core/config/watch.ts"]],
    ["esbuild", ["core/script/bundle.ts"]],
    ["opossum", ["plugins/breaker/machine.ts"]],
    ["semver", ["core/config/pipelines.ts"]],
    ["structured-headers", ["core/http-signatures/structured-fields.ts"]],
    ["typescript", ["core/script/type-check.ts"]],
    ["yaml", ["core/cli/dump.ts", "core/config/read.ts"]], // writing, reading
  ])("of %s have one door", (name, doors) => {
    const users = SOURCES.filter((file) =>
      allImportsOf(file).some((from) => from === name || from.startsWith(`${name}/`)),
    );
    expect(users).toEqual(doors);
  });

  it("of node:http, which are dear, are for its types only", () => {
    const users = SOURCES.filter((file) => importsOf(file).some((from) => /^node:http2?$/.test(from)));
    expect(users).toEqual([]);
  });

  it("of a data thread reach only the packages that serve requests", () => {
    const packages = new Set<string>();
    const reached = new Set(["core/worker.ts"]);
    for (const file of reached) {
      for (const from of staticImportsOf(file)) {
        if (from.startsWith(".")) reached.add(target(file, from));
        else if (!from.startsWith("node:")) packages.add(from);
      }
    }
    expect(reached.size).toBeGreaterThan(100);
    // undici and prom-client come in parts, by `require`. No ajv, yaml, chokidar: those are for the control thread.
    expect([...packages].sort()).toEqual(["fastify", "ipaddr.js", "opossum", "pino", "structured-headers"]);
  });

  it("are of packages that package.json has", () => {
    const { name: own, dependencies } = JSON.parse(read("package.json")) as {
      name: string;
      dependencies: Record<string, string>;
    };
    const names = SOURCES.flatMap((file) => allImportsOf(file)).filter((from) => !/^(\.|node:)/.test(from));
    const packages = new Set(
      names.map((from) =>
        from
          .split("/")
          .slice(0, from.startsWith("@") ? 2 : 1)
          .join("/"),
      ),
    );
    expect([...packages].filter((name) => name !== own && !(name in dependencies))).toEqual([]);
    expect(Object.keys(dependencies).filter((name) => !packages.has(name))).toEqual([]);
  });
});

/** One cycle for each edge that closes one. */
function findCycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, trail: readonly string[]): void => {
    const at = trail.indexOf(file);
    if (at !== -1) cycles.push([...trail.slice(at), file].join(" -> "));
    if (at !== -1 || done.has(file)) return;
    for (const to of graph.get(file) ?? []) visit(to, [...trail, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return cycles;
}

describe("example plugins", () => {
  const files = list("examples/plugins/*.ts");

  it("have a test each, and a stage in examples/plugins.yaml", () => {
    const plugins = files.filter((file) => !file.endsWith(".test.ts"));
    expect(plugins.length).toBeGreaterThanOrEqual(12);
    const config = read("examples/plugins.yaml");
    for (const file of plugins) {
      const name = basename(file, ".ts");
      expect(files).toContain(`examples/plugins/${name}.test.ts`);
      expect(config).toMatch(new RegExp(`plugin: ${name}\\b`));
    }
  });

  it("say what they do, and how a stage has them", () => {
    const silent = files
      .filter((file) => !file.endsWith(".test.ts"))
      .filter(
        (file) =>
          !new RegExp(`^/\\*\\*\n \\* \\S[^]*\n \\*   - plugin: ${basename(file, ".ts")}\n[^]*? \\*/`).test(
            read(file),
          ),
      );
    expect(silent).toEqual([]);
  });
});

describe("source files", () => {
  /** Longer than two concepts should be, and why. */
  const LONG: Record<string, string> = {};

  it("are at most 400 lines long", () => {
    const long = SOURCES.filter((file) => read(file).split("\n").length - 1 > 400);
    expect(long).toEqual(Object.keys(LONG).toSorted());
  });

  /** Types for authors of scripts, who know better what a JSON body holds. */
  const FOR_AUTHORS = ["core/script/plugin-api.ts", "core/script/test-api.ts"];

  it("have no `any`, no default export, no enum and no namespace", () => {
    const offences = SOURCES.filter((file) => !FOR_AUTHORS.includes(file)).flatMap((file) => {
      const found = codeOf(file).match(
        /(?<![#.\w])any(?!\w|:)|\bexport\s+default\b|^\s*(?:export\s+)?(?:const\s+)?enum\s|^\s*(?:export\s+)?namespace\s/gm,
      );
      return found === null ? [] : [`${file}: ${found.join(", ")}`];
    });
    expect(offences).toEqual([]);
  });

  it("have kebab-case names, none of which says nothing", () => {
    const names = SOURCES.map((file) => basename(file, ".ts"));
    expect(
      names.filter(
        (name) => !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name) || /^(utils?|common|helpers?|misc)$/.test(name),
      ),
    ).toEqual([]);
  });

  it("begin by saying what they are, or with the contract that they are", () => {
    expect(
      SOURCES.filter((file) => !/^\/\*\*/.test(read(file)) && !/^import\b[\s\S]*?\/\*\*/.test(read(file))),
    ).toEqual([]);
  });
});

describe("docs", () => {
  it("link only to files that are there", () => {
    const pages = list("docs/**/*.md", "*.md");
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)]
        .map(([, link]) => relative(ROOT, resolve(ROOT, dirname(page), link!)))
        .filter((to) => list(to, to.replace(/\/$/, "")).length === 0)
        .map((to) => `${page} -> ${to}`),
    );
    expect(broken).toEqual([]);
  });

  it("list the commands of Redis that scripts for it use", () => {
    const used = SOURCES.flatMap((file) =>
      [...read(file).matchAll(/redis\.p?call\('([A-Z]+)'/g)].map(([, command]) => command!),
    );
    const listed = /The user needs[\s\S]*?\n\n/.exec(read("docs/stores.md"))![0];
    expect(new Set(used).size).toBeGreaterThan(20);
    expect([...new Set(used)].filter((command) => !listed.includes(`\`${command}\``))).toEqual([]);
  });

  it("have YAML that can be read", () => {
    const broken = list("docs/**/*.md", "README.md").flatMap((page) =>
      [...read(page).matchAll(/^```yaml\n([\s\S]*?)^```/gm)].flatMap(([, text]) => {
        try {
          parse(text!);
          return [];
        } catch (error) {
          return [`${page}: ${(error as Error).message.split("\n")[0]}`];
        }
      }),
    );
    expect(broken).toEqual([]);
  });
});

describe.each(list("examples/**/*.yaml"))("%s", (file) => {
  it("is a configuration without problems, with its schema on the first line", async () => {
    const [first = ""] = read(file).split("\n");
    const schema = /^# yaml-language-server: \$schema=(\S+)$/.exec(first)?.[1] ?? "";
    expect(join(dirname(file), schema)).toBe("schemas/gateway.json");
    const { config } = await loadConfig(join(ROOT, file), { catalogue });
    expect(config.routes.length).toBeGreaterThan(0);
  });

  it("starts", async () => {
    const config = parse(read(file)) as { listeners: { address: string }[]; admin?: { address: string } };
    for (const listener of config.listeners) listener.address = "127.0.0.1:0";
    if (config.admin !== undefined) config.admin.address = "127.0.0.1:0";
    const baseDir = join(ROOT, dirname(file));
    const gateway = await createGateway(config, { baseDir, logTo: { write() {} } });
    expect(gateway.urls).toHaveLength(config.listeners.length);
    await gateway.stop();
  });
});
