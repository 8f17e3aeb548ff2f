/** Peers that are npm packages: a server of a few lines each, in `servers/`, as the package's README has it. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, SUBJECT_CORE } from "../../support/process.ts";
import type { Contender, Variant, Found } from "../contender.ts";
import { launch, writeConfig } from "../launch.ts";

const PEERS = join(import.meta.dirname, "..");

function findPackage(name: string): Found {
  const file = join(PEERS, "node_modules", name, "package.json");
  if (!existsSync(file)) return { missing: "npm ci --prefix bench/peers" };
  return JSON.parse(readFileSync(file, "utf8")) as { version: string };
}

/** As in production: no stack traces in replies, no warnings of what Node will drop. */
const ENV = { NODE_ENV: "production", NODE_NO_WARNINGS: "1" };

const fromPackage = (name: string, file: string): Contender => ({
  name,
  reloadedBy: "restart",
  find: () => findPackage(name),
  async start({ upstream, revision, port: wanted, cores = [SUBJECT_CORE] }) {
    const port = wanted ?? (await freePort());
    const args = [join(PEERS, "servers", file), String(port), upstream];
    if (revision !== undefined) args.push(String(revision));
    return launch({
      command: process.execPath,
      args: () => args,
      port,
      cores,
      env: () => ENV,
    });
  },
});

export const fastifyHttpProxy = fromPackage("@fastify/http-proxy", "fastify-http-proxy.mjs");
export const fastGateway = fromPackage("fast-gateway", "fast-gateway.mjs");
export const httpProxy = fromPackage("http-proxy", "http-proxy.mjs");

const FILE = "express-gateway/gateway.config.yml";

const createExpressGateway = (name: string, sections: readonly string[], variant?: Variant): Contender => ({
  name,
  ...(variant === undefined ? {} : { variant }),
  reloadedBy: "the file is saved",
  find: () => findPackage("express-gateway"),
  async start({ upstream, revision, port: wanted, cores = [SUBJECT_CORE] }) {
    const port = wanted ?? (await freePort());
    const values = { PORT: port, UPSTREAM: new URL(upstream).host };
    const write = (folder: string, number: number | undefined): void =>
      number === undefined
        ? writeConfig(folder, FILE, values, sections)
        : writeConfig(folder, FILE, { ...values, REVISION: number }, [...sections, "revision"]);
    const server = await launch({
      command: process.execPath,
      args: (folder) => [join(PEERS, "servers", "express-gateway.mjs"), folder],
      port,
      prepare(folder) {
        write(folder, revision);
        writeConfig(folder, "express-gateway/system.config.yml", {});
      },
      cores,
      env: () => ({ ...ENV, LOG_LEVEL: "error" }),
    });
    return { ...server, reload: (number) => write(server.folder, number) };
  },
});

export const expressGateway = createExpressGateway("express-gateway", []);
export const expressGatewayGuarded = createExpressGateway(
  "express-gateway + rate-limit",
  ["guarded"],
  "guarded",
);
