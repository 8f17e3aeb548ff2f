/** haproxy, as a master with one worker, so that it can be reloaded. */
import { fromProgram } from "./program.ts";

export const haproxy = fromProgram({
  name: "haproxy",
  command: "haproxy",
  version: { args: ["-v"], pattern: /version ([\d.]+)/ },
  how: "apt-get install haproxy",
  config: "haproxy.cfg",
  args: (folder) => ["-W", "-f", `${folder}/haproxy.cfg`],
  reloadedBy: "SIGUSR2 to its master",
  reload: ({ subject }) => subject.signal("SIGUSR2"),
});
