/** Scripts that the benches load, and what nginx's own scripts do in their place. */
import { spawnSync } from "node:child_process";
import type { Server } from "./gateways.ts";
import { startNginx } from "./nginx.ts";
import { findProgram, SUBJECT_CORE } from "./process.ts";

const define = (hooks: string): string =>
  `import { definePlugin } from "sluice/plugin";\nexport default definePlugin({ ${hooks} });\n`;

/** Two headers are read, two are set, one is deleted. */
const REQUEST_HOOK = `request(req) {
    const agent = req.headers.get("user-agent") ?? "none";
    const host = req.headers.get("host");
    req.headers.set("x-agent", agent);
    req.headers.set("x-tenant", host === null ? "none" : "acme");
    req.headers.delete("accept");
  }`;
const RESPONSE_HOOK = `response(res) {
    const type = res.headers.get("content-type");
    const length = res.headers.get("content-length");
    res.headers.set("x-served-by", "sluice");
    res.headers.set("x-type", type + " " + length);
    res.headers.delete("server");
  }`;

export const SCRIPTS = {
  "one-hook": define(REQUEST_HOOK),
  "two-hooks": define(`${REQUEST_HOOK},\n  ${RESPONSE_HOOK}`),
  async: define(`async ${REQUEST_HOOK}`),
  "json-edit": define(
    `body: { response: "json", max: "1MB" },\n  response(res) { res.body.items[0].name = "edited"; }`,
  ),
} as const;

/** JSON of about so many bytes. */
export function jsonOf(bytes: number): string {
  const item = { name: "a name of some length", tags: ["one", "two"], price: 12.5, isSold: false };
  const count = Math.max(1, Math.round(bytes / (JSON.stringify(item).length + 1)));
  return JSON.stringify({ items: Array.from({ length: count }, () => item) });
}

/** The same edits in njs: its request headers can only be set from variables, one function each. */
const NJS = `function agent(r) { return r.headersIn["User-Agent"] || "none"; }
function tenant(r) { return r.headersIn["Host"] === undefined ? "none" : "acme"; }
function reply(r) {
  var type = r.headersOut["Content-Type"], length = r.headersOut["Content-Length"];
  r.headersOut["X-Served-By"] = "njs";
  r.headersOut["X-Type"] = type + " " + length;
  delete r.headersOut["Server"];
}
export default { agent, tenant, reply };
`;

/** The folder of nginx's modules; undefined where it has none. */
function findModules(nginx: string): string | undefined {
  const { stderr } = spawnSync(nginx, ["-V"], { encoding: "utf8" });
  return /--modules-path=(\S+)/.exec(stderr)?.[1];
}

/** nginx with njs in front of an upstream: `/bare/`, `/one-hook/` and `/two-hooks/`. Undefined where it is not installed. */
export async function startNjs(upstream: string): Promise<Server | undefined> {
  const nginx = findProgram("nginx");
  const modules = nginx === undefined ? undefined : findModules(nginx);
  if (nginx === undefined || modules === undefined) return undefined;
  const proxy = 'proxy_pass http://users; proxy_http_version 1.1; proxy_set_header Connection "";';
  const request =
    'proxy_set_header X-Agent $agent; proxy_set_header X-Tenant $tenant; proxy_set_header Accept "";';
  try {
    return await startNginx({
      nginx,
      core: SUBJECT_CORE,
      main: `load_module ${modules}/ngx_http_js_module.so;`,
      files: { "main.js": NJS },
      http: (folder) => `js_import main from ${folder}/main.js;
  js_set $agent main.agent;
  js_set $tenant main.tenant;
  upstream users { server ${new URL(upstream).host}; keepalive 256; keepalive_requests 1000000000; }`,
      server: `
    location /bare/ { ${proxy} }
    location /one-hook/ { ${proxy} ${request} }
    location /two-hooks/ { ${proxy} ${request} js_header_filter main.reply; }
`,
    });
  } catch {
    return undefined; // njs is not installed
  }
}
