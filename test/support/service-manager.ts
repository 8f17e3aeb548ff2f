/** What a service tells its service manager, received on a real datagram socket. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { requireProgram } from "./programs.ts";

/** Node has no datagram sockets in the file system. */
const RECEIVER = `
use strict; use IO::Socket::UNIX; use Socket; $| = 1;
my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die $!;
print "listening\\n";
while (defined $socket->recv(my $message, 65536)) { $message =~ s/\\n/|/g; print "$message\\n"; }
`;

export interface ServiceManager {
  /** Environment of the service. */
  readonly env: Record<string, string>;
  /** Messages so far, with `|` between their variables; those of systemd-notify itself are left out. */
  readonly messages: string[];
  /** Waits for a message, past or to come. */
  told(pattern: RegExp): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** @param path of the socket */
export async function startServiceManager(path: string): Promise<ServiceManager> {
  requireProgram("systemd-notify", "systemd");
  const perl = requireProgram("perl", "perl-base");
  const child = spawn(perl, ["-e", RECEIVER, path], { stdio: ["ignore", "pipe", "inherit"] });
  const messages: string[] = [];
  const lines = createInterface({ input: child.stdout });
  await once(lines, "line");
  lines.on("line", (line) => {
    if (line !== "BARRIER=1") messages.push(line);
  });
  return {
    env: { NOTIFY_SOCKET: path },
    messages,
    async told(pattern) {
      for (;;) {
        const found = messages.find((message) => pattern.test(message));
        if (found !== undefined) return found;
        await once(lines, "line");
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await once(child, "exit");
    },
  };
}
