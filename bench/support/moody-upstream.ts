/**
 * A target that can fall ill: `moody-upstream.ts PORT NAME` answers with its name; SIGUSR2 makes it slow, and quick
 * again; it is killed and started anew by the bench.
 */
import { createServer } from "node:http";

const SLOW_MS = 1000;
const [port, name] = process.argv.slice(2);
let slow = false;
process.on("SIGUSR2", () => {
  slow = !slow;
  console.log(slow ? "slow" : "quick");
});
const body = `${name}\n`;
createServer({ keepAliveTimeout: 60_000 }, (_request, response) => {
  const answer = (): void => {
    response.setHeader("content-length", body.length);
    response.end(body);
  };
  if (slow) setTimeout(answer, SLOW_MS);
  else answer();
}).listen(Number(port), "127.0.0.1", () => console.log("listening"));
