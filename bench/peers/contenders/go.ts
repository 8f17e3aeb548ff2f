/** Proxies written in Go. Debian has Caddy; the other two take part where they are on the PATH. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fromProgram } from "./program.ts";

/** One thread for Go code, as all have one; and no file outside of the folder. */
const env = (folder: string): Record<string, string> => ({
  GOMAXPROCS: "1",
  XDG_CONFIG_HOME: folder,
  XDG_DATA_HOME: folder,
});

export const caddy = fromProgram({
  name: "Caddy",
  command: "caddy",
  version: { args: ["version"], pattern: /v?(\d[\d.]*)/ },
  how: "apt-get install caddy",
  config: "Caddyfile",
  args: (folder) => ["run", "--adapter", "caddyfile", "--config", `${folder}/Caddyfile`],
  env,
  reloadedBy: "caddy reload",
  async reload({ folder }, path) {
    const file = `${folder}/Caddyfile`;
    const address = `unix/${folder}/admin.sock`;
    const args = ["reload", "--adapter", "caddyfile", "--config", file, "--address", address];
    const [status] = await once(spawn(path, args, { stdio: "ignore" }), "exit");
    if (status !== 0) throw new Error(`caddy reload ended with ${status}`);
  },
});

export const traefik = fromProgram({
  name: "Traefik",
  command: "traefik",
  version: { args: ["version"], pattern: /Version:\s+(\S+)/ },
  how: "put traefik on the PATH",
  config: "traefik.yml",
  args: (folder, port) => [
    `--entryPoints.clients.address=127.0.0.1:${port}`,
    `--providers.file.filename=${folder}/traefik.yml`,
    "--providers.file.watch=true",
    "--serversTransport.maxIdleConnsPerHost=1024", // Go's own default keeps two
    "--global.checkNewVersion=false",
    "--global.sendAnonymousUsage=false",
    "--log.level=ERROR",
  ],
  env,
  reloadedBy: "the file is saved",
  reload() {},
});

export const krakend = fromProgram({
  name: "KrakenD CE",
  command: "krakend",
  version: { args: ["version"], pattern: /Version:\s+(\S+)/ },
  how: "put krakend on the PATH",
  config: "krakend.template",
  args: (folder) => ["run", "-c", `${folder}/krakend.json`],
  env,
  reloadedBy: "restart",
});
