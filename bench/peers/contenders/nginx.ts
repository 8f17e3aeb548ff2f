/** nginx: bare, with a limit, with its cache, and with a header script in each of the languages that it has as modules. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { Contender, Variant } from "../contender.ts";
import { fromProgram } from "./program.ts";

/** The folder of its modules. */
function modulesOf(path: string): string {
  const { stderr } = spawnSync(path, ["-V"], { encoding: "utf8" });
  return /--modules-path=(\S+)/.exec(stderr)?.[1] ?? "";
}

interface Addition {
  section: string;
  variant: Variant;
  /** The module that it needs, and how to get it. */
  module?: readonly [file: string, how: string];
}

const nginx = (name: string, addition?: Addition): Contender =>
  fromProgram({
    name,
    command: "nginx",
    version: { args: ["-v"], pattern: /nginx\/([\d.]+)/ },
    how: "apt-get install nginx",
    lacks(path) {
      const [file, how] = addition?.module ?? [];
      return file === undefined || existsSync(`${modulesOf(path)}/${file}`) ? undefined : how;
    },
    config: "nginx.conf",
    sections: addition === undefined ? [] : [addition.section],
    values: (path) => ({ MODULES: modulesOf(path) }),
    args: (folder) => ["-p", folder, "-c", `${folder}/nginx.conf`],
    ...(addition === undefined ? {} : { variant: addition.variant }),
    reloadedBy: "nginx -s reload",
    reload: ({ subject }) => subject.signal("SIGHUP"), // what nginx -s reload sends
  });

export const nginxBare = nginx("nginx");
export const nginxGuarded = nginx("nginx + limit_req", { section: "guarded", variant: "guarded" });
export const nginxCached = nginx("nginx + proxy_cache", { section: "cached", variant: "cached" });
export const nginxJs = nginx("nginx + njs", {
  section: "js",
  variant: "script",
  module: ["ngx_http_js_module.so", "apt-get install libnginx-mod-http-js"],
});
export const nginxLua = nginx("nginx + Lua", {
  section: "lua",
  variant: "script",
  module: ["ngx_http_lua_module.so", "apt-get install libnginx-mod-http-lua"],
});
