/** nginx: bare, and with a header script in each of the two languages that it has as modules. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { Contender } from "../contender.ts";
import { fromProgram } from "./program.ts";

/** The folder of its modules. */
function modulesOf(path: string): string {
  const { stderr } = spawnSync(path, ["-V"], { encoding: "utf8" });
  return /--modules-path=(\S+)/.exec(stderr)?.[1] ?? "";
}

interface Script {
  section: string;
  module: string;
  how: string;
}

const nginx = (name: string, script?: Script): Contender =>
  fromProgram({
    name,
    command: "nginx",
    version: { args: ["-v"], pattern: /nginx\/([\d.]+)/ },
    how: "apt-get install nginx",
    lacks: (path) =>
      script === undefined || existsSync(`${modulesOf(path)}/${script.module}`) ? undefined : script.how,
    config: "nginx.conf",
    sections: script === undefined ? [] : [script.section],
    values: (path) => ({ MODULES: modulesOf(path) }),
    args: (folder) => ["-p", folder, "-c", `${folder}/nginx.conf`],
    ...(script === undefined ? {} : { edits: "script" as const }),
    reloadedBy: "nginx -s reload",
    reload: ({ subject }) => subject.signal("SIGHUP"), // what nginx -s reload sends
  });

export const nginxBare = nginx("nginx");
export const nginxJs = nginx("nginx + njs", {
  section: "js",
  module: "ngx_http_js_module.so",
  how: "apt-get install libnginx-mod-http-js",
});
export const nginxLua = nginx("nginx + Lua", {
  section: "lua",
  module: "ngx_http_lua_module.so",
  how: "apt-get install libnginx-mod-http-lua",
});
