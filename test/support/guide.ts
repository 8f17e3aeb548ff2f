/** Follows a part of a page of the docs word by word: its files, its commands, and what they print. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, vi } from "vitest";
import { env, ROOT, run } from "./pack.ts";

/** What stands at other places on other machines: the package, and the gateway once it serves. */
const TARBALL = "/path/to/sluice-0.1.0.tgz";
const ADDRESS = "127.0.0.1:8080";

export interface Block {
  readonly language: string;
  readonly text: string;
}

/** The fenced blocks below a heading. */
export async function readGuide(page: string, heading: string): Promise<Block[]> {
  const text = await readFile(join(ROOT, page), "utf8");
  const from = text.indexOf(`\n## ${heading}\n`);
  const part = text.slice(from, text.indexOf("\n## ", from + 1));
  return [...part.matchAll(/^```(\w+)\n([\s\S]*?)^```/gm)].map(([, language, inside]) => ({
    language: language!,
    text: inside!,
  }));
}

/**
 * Follows it in an empty folder. A file begins with its path as a comment; of `console` blocks, what the commands print
 * is looked at. A command that runs the gateway runs it until the test ends.
 * @param folder that it makes below `top`
 */
export async function followGuide(blocks: readonly Block[], top: string, folder: string, tarball: string) {
  let address = ADDRESS;
  let cwd = top;
  const shell = async (command: string): Promise<string> => {
    const here = command.replace(TARBALL, tarball).replaceAll(ADDRESS, address);
    const { status, stdout, stderr } = await run("bash", ["-ec", here], cwd);
    expect(status, `${here}\n${stdout}${stderr}`).toBe(0);
    return stdout.replaceAll("\r", "");
  };
  for (const { language, text } of blocks) {
    const file = /^(?:\/\/|#) (\S+\.(?:ts|yaml))\n/.exec(text)?.[1];
    if (file !== undefined) {
      await writeFile(join(cwd, file), text.replace(ADDRESS, "127.0.0.1:0"));
    } else if (/^npx sluice (?:start|dev)\n$/.test(text)) {
      address = await runGateway(text.trim(), cwd);
    } else if (language === "sh") {
      await shell(`export npm_config_prefer_offline=true\n${text}`);
      cwd = join(top, folder);
    } else {
      for (const [, command, shown] of text.matchAll(/^\$ (.+)\n((?:(?!\$ ).*\n)*)/gm)) {
        const isShown = async (): Promise<void> => expect(await shell(command!)).toMatch(asPattern(shown!));
        // What was saved is served a moment later.
        await (command!.startsWith("curl")
          ? vi.waitFor(isShown, { timeout: 10_000, interval: 100 })
          : isShown());
      }
    }
  }
}

/** What a page shows of an output: `…` stands for more. */
function asPattern(shown: string): RegExp {
  return new RegExp(`^${RegExp.escape(shown.trimEnd()).replaceAll("…", "[^]*")}\\s*$`);
}

/** Runs the gateway until the test ends; gives its address. */
async function runGateway(command: string, cwd: string): Promise<string> {
  const child = spawn("bash", ["-c", command], {
    cwd,
    env,
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  const exited = once(child, "exit");
  onTestFinished(async () => {
    process.kill(-child.pid!, "SIGTERM");
    await exited;
  });
  let text = "";
  const address = new Promise<string>((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      if (text.includes("sluice is serving")) resolve(/http:\/\/([\d.:]+)/.exec(text)?.[1] ?? "");
    });
  });
  return Promise.race([address, exited.then(() => Promise.reject(new Error(`It ended: ${text}`)))]);
}
