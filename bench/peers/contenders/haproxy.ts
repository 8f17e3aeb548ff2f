/** haproxy, as a master with one worker, so that it can be reloaded. */
import type { Contender, Variant } from "../contender.ts";
import { fromProgram } from "./program.ts";

const create = (name: string, more: { variant?: Variant; sections?: string[] }): Contender =>
  fromProgram({
    name,
    command: "haproxy",
    version: { args: ["-v"], pattern: /version ([\d.]+)/ },
    how: "apt-get install haproxy",
    config: "haproxy.cfg",
    args: (folder) => ["-W", "-f", `${folder}/haproxy.cfg`],
    reloadedBy: "SIGUSR2 to its master",
    reload: ({ subject }) => subject.signal("SIGUSR2"),
    ...more,
  });

export const haproxy = create("haproxy", {});
export const haproxyGuarded = create("haproxy + limit + check", {
  variant: "guarded",
  sections: ["guarded"],
});
export const haproxyCached = create("haproxy + cache", { variant: "cached", sections: ["cached"] });
