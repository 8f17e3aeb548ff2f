/**
 * The command line: argv to a command. What a command needs is loaded when it is called, for the supervisor is to stay
 * small.
 */
import { extname } from "node:path";
import { parseArgs } from "node:util";
import type { CommandIo } from "./cli/check.ts";
import packageJson from "sluice/package.json" with { type: "json" };
import type { Catalogue } from "./plugin.ts";
import { HANDOVER } from "./supervisor/messages.ts";

const HELP = `sluice ${packageJson.version}: an API gateway you script in TypeScript

Usage
  sluice start [-c FILE] [--no-watch] [--no-supervise]  run the gateway
  sluice dev [-c FILE]                                  the same for developing: shows scripts and their errors
  sluice check [-c FILE] [--format text|json] [--no-types]
                                                        say everything that is wrong with a configuration
  sluice dump [-c FILE] [--effective] [--format yaml|json]
                                                        show the configuration as one document, secrets masked
  sluice test [-c FILE] [--watch] [PATHS]               run the tests beside the plugins
  sluice plugin new NAME [-c FILE]                      begin a plugin: its file, its test, types for the editor
  sluice plugin types [FOLDER] [-c FILE]                write the types that an editor needs beside the plugins
  sluice hash-password                                  make the hash of a password, which comes on standard input
  sluice version                                        print the version

Options
  -c, --config FILE   the configuration; gateway.yaml, gateway.yml or gateway.json in this folder by default
      --no-watch      do not reload when a file of the configuration changes
      --watch         run the tests again when something changes
      --no-supervise  run the gateway in this process, and end with it
      --no-types      do not check the types of plugins
      --effective     with defaults filled in and pipelines flat
      --format        how to print
`;

/** Beside this file, built like it. */
const WORKER = new URL(`worker${extname(import.meta.url)}`, import.meta.url);

const stdio = (stream: NodeJS.WriteStream): CommandIo => ({
  cwd: process.cwd(),
  env: process.env,
  isTty: stream.isTTY === true,
  write: (text) => void stream.write(text),
  writeError: (text) => void process.stderr.write(text),
});

interface Arguments {
  command: string;
  /** What follows the command. */
  rest: string[];
  file: string | undefined;
  watch: boolean | undefined;
  supervise: boolean;
  types: boolean;
  effective: boolean;
  format: string | undefined;
}

/** The command line cannot be understood. */
class UsageError extends Error {}

/** @throws UsageError, or an error of `parseArgs`, for what is not known */
function readArguments(argv: string[]): Arguments {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    allowNegative: true,
    options: {
      config: { type: "string", short: "c" },
      watch: { type: "boolean" },
      supervise: { type: "boolean", default: true },
      types: { type: "boolean", default: true },
      effective: { type: "boolean", default: false },
      format: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
      version: { type: "boolean", short: "v", default: false },
    },
  });
  const [first = "help", ...rest] = positionals;
  const command = values.help ? "help" : values.version ? "version" : first;
  const unexpected = command === "test" ? undefined : rest[command === "plugin" ? 2 : 0];
  if (unexpected !== undefined) throw new UsageError(`Unexpected argument '${unexpected}'`);
  const { config: file, watch, supervise, types, effective, format } = values;
  return { command, rest, file, watch, supervise, types, effective, format };
}

/** The value of --format, if it is one of `formats`; the first by default. */
function oneOf<const F extends string>(format: string | undefined, formats: readonly [F, ...F[]]): F {
  const known = formats.find((name) => name === format);
  if (format !== undefined && known === undefined) {
    throw new UsageError(`--format is one of ${formats.join(", ")}; not '${format}'`);
  }
  return known ?? formats[0];
}

async function loadCatalogue(): Promise<Catalogue> {
  return (await import("../plugins/index.ts")).catalogue;
}

async function run(argv: string[]): Promise<number> {
  const out = stdio(process.stdout);
  const {
    command,
    rest,
    file,
    watch,
    supervise: isSupervised,
    types,
    effective,
    format,
  } = readArguments(argv);
  switch (command) {
    case "test": {
      const { test } = await import("./cli/test.ts");
      return test({ file, paths: rest, watch: watch ?? false }, out);
    }
    case "start": {
      if (isSupervised && process.env[HANDOVER] === undefined) {
        const { supervise } = await import("./supervisor/supervise.ts");
        return supervise();
      }
      const { serve } = await import("./cli/serve.ts");
      return serve(
        { file, watch: watch ?? true, catalogue: await loadCatalogue(), worker: WORKER },
        stdio(process.stderr),
      );
    }
    case "dev": {
      const { serve } = await import("./cli/serve.ts");
      const options = { file, watch: true, catalogue: await loadCatalogue(), worker: WORKER, dev: out };
      return serve(options, stdio(process.stderr));
    }
    case "check": {
      const as = oneOf(format, ["text", "json"]);
      const { check } = await import("./cli/check.ts");
      const { compileOnce } = await import("./runtime.ts");
      const catalogue = await loadCatalogue();
      const tools = { catalogue, compile: compileOnce(catalogue) };
      if (!types) return check({ file, format: as }, out, tools);
      const { checkTypes } = await import("./script/type-check.ts");
      return check({ file, format: as }, out, { ...tools, checkTypes });
    }
    case "dump": {
      const as = oneOf(format, ["yaml", "json"]);
      const { dump } = await import("./cli/dump.ts");
      return dump({ file, effective, format: as }, out, await loadCatalogue());
    }
    case "plugin": {
      const [action, argument] = rest;
      const { writePlugin, writeTypes } = await import("./cli/plugin.ts");
      if (action === "types") return writeTypes({ file, folder: argument }, out);
      if (action !== "new") throw new UsageError("`sluice plugin` is followed by `new NAME` or `types`");
      if (argument === undefined) throw new UsageError("`sluice plugin new` needs a name");
      return writePlugin({ file, name: argument }, out, await loadCatalogue());
    }
    case "hash-password": {
      const { printPasswordHash } = await import("./cli/hash-password.ts");
      return printPasswordHash(process.stdin, out);
    }
    case "version":
      out.write(`${packageJson.version}\n`);
      return 0;
    case "help":
      out.write(HELP);
      return 0;
    default:
      throw new UsageError(`Unknown command '${command}'`);
  }
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  if (!(error instanceof UsageError) && !code?.startsWith("ERR_PARSE_ARGS_")) throw error;
  const [what = ""] = message.split(". To specify"); // Node goes on about positional arguments
  process.stderr.write(`${what}. \`sluice help\` lists commands and options.\n`);
  process.exitCode = 2;
}
// What may still be under way, such as the look-up of a name, must not hold back who waits for the result.
process.stdout.write("", () => process.stderr.write("", () => process.exit()));
