/** What a gateway shows to operators: pages, what commands print, and all that it has logged. */
import { type RunningCli, runCli } from "./cli.ts";

const PAGES = ["/metrics", "/admin/config", "/admin/stats", "/admin/threads", "/admin/limits"];
const COMMANDS = [["check"], ["check", "--format", "json"], ["dump"], ["dump", "--effective"]];

/** Gathers all of it, and stops the gateway. */
export async function stopAndShow(
  cli: RunningCli,
  config: string,
  env: Record<string, string>,
): Promise<unknown[]> {
  const shown: unknown[] = [];
  for (const page of PAGES) shown.push(await (await fetch(cli.adminUrl + page)).text());
  for (const args of COMMANDS) shown.push(await runCli([...args, "--config", config], { env }));
  await cli.stop();
  return [...shown, cli.lines, cli.complaint];
}
