/** `sluice hash-password`: makes the hash of a password for a configuration. */
import { hashPassword } from "../password-hash.ts";
import type { CommandIo } from "./check.ts";

/**
 * @param input the password, whose last line may end
 * @returns exit status
 */
export async function printPasswordHash(input: AsyncIterable<Buffer>, io: CommandIo): Promise<number> {
  const chunks: Buffer[] = [];
  for await (const chunk of input) chunks.push(chunk);
  const password = Buffer.concat(chunks)
    .toString()
    .replace(/\r?\n$/, "");
  if (password === "" || /\p{Cc}/u.test(password)) {
    io.writeError("The password comes on standard input, in one line.\n");
    return 2;
  }
  io.write(`${await hashPassword(password)}\n`);
  return 0;
}
