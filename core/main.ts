/** The command line: argv to a command. The only place that handles signals and ends the process. */
import { extname } from "node:path";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { catalogue } from "../plugins/index.ts";
import { type CommandIo, check, diagnosticsOf, renderAll } from "./cli/check.ts";
import { dump } from "./cli/dump.ts";
import { type Running, start } from "./cli/start.ts";
import { findConfig } from "./config/find.ts";
import packageJson from "sluice/package.json" with { type: "json" };
import { compileOnce } from "./runtime.ts";

const HELP = `sluice ${packageJson.version}: an API gateway you script in TypeScript

Usage
  sluice start [-c FILE] [--no-watch]                   run the gateway
  sluice check [-c FILE] [--format text|json]           say everything that is wrong with a configuration
  sluice dump [-c FILE] [--effective] [--format yaml|json]
                                                        show the configuration as one document, secrets masked
  sluice version                                        print the version

Options
  -c, --config FILE   the configuration; gateway.yaml, gateway.yml or gateway.json in this folder by default
      --no-watch      do not reload when a file of the configuration changes
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
  file: string | undefined;
  watch: boolean;
  effective: boolean;
  format: string | undefined;
}

/** @throws TypeError for an unknown option */
function readArguments(argv: string[]): Arguments {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    allowNegative: true,
    options: {
      config: { type: "string", short: "c" },
      watch: { type: "boolean", default: true },
      effective: { type: "boolean", default: false },
      format: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
      version: { type: "boolean", short: "v", default: false },
    },
  });
  if (positionals.length > 1) throw new TypeError(`Unexpected argument '${positionals[1]}'`);
  const command = values.help ? "help" : values.version ? "version" : (positionals[0] ?? "help");
  const { config: file, watch, effective, format } = values;
  return { command, file, watch, effective, format };
}

/** The value of --format, if it is one of `formats`; the first by default. */
function oneOf<const F extends string>(format: string | undefined, formats: readonly [F, ...F[]]): F {
  const known = formats.find((name) => name === format);
  if (format !== undefined && known === undefined) {
    throw new TypeError(`--format is one of ${formats.join(", ")}; not '${format}'`);
  }
  return known ?? formats[0];
}

async function run(argv: string[]): Promise<number> {
  const out = stdio(process.stdout);
  const args = readArguments(argv);
  const { command, file, effective, format } = args;
  switch (command) {
    case "start":
      return serve(args);
    case "check": {
      const compile = compileOnce(catalogue);
      return check({ file, format: oneOf(format, ["text", "json"]) }, out, { catalogue, compile });
    }
    case "dump":
      return dump({ file, effective, format: oneOf(format, ["yaml", "json"]) }, out, catalogue);
    case "version":
      out.write(`${packageJson.version}\n`);
      return 0;
    case "help":
      out.write(HELP);
      return 0;
    default:
      throw new TypeError(`Unknown command '${command}'`);
  }
}

/** Runs until SIGTERM or SIGINT; a second one ends the process at once. */
async function serve({ file, watch }: Arguments): Promise<number> {
  // V8 may let the heap grow to four times what lives in it before it collects old objects; with thousands of
  // busy connections that is most of the memory. Twice costs no CPU time that can be measured.
  setFlagsFromString("--heap-growing-percent=100");
  const signals = new Signals();
  let running: Running;
  try {
    running = await start({ file: findConfig(file, process.cwd()), watch, catalogue, worker: WORKER });
  } catch (error) {
    const err = stdio(process.stderr);
    err.write(renderAll(diagnosticsOf(error, undefined), err));
    return 1;
  }
  // Nothing that a client, an upstream or a stage does may end the process; what comes here is a bug of ours.
  process.on("uncaughtException", (error) => running.onBug(error));
  process.on("unhandledRejection", (error) => running.onBug(error));
  await signals.first;
  signals.onSecond = () => {
    running.flush();
    process.exit(1);
  };
  await running.stop();
  // Whatever may still be open must not keep a process that has been told to stop.
  process.exit(0);
}

class Signals {
  readonly first: Promise<void>;
  onSecond: (() => void) | undefined;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.first = promise;
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.on(signal, () => {
        this.onSecond?.();
        resolve();
      });
    }
  }
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  process.stderr.write(`${error.message}. \`sluice help\` lists commands and options.\n`);
  process.exitCode = 2;
}
// What may still be under way, such as the look-up of a name, must not hold back who waits for the result.
process.stdout.write("", () => process.stderr.write("", () => process.exit()));
