/** Passwords through the real command line: hashed by it, checked by it, and shown by it to nobody. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { TempFolder } from "../core/config/temp-folder.ts";
import { runCli, startCli } from "../support/cli.ts";
import { hashOf } from "../support/passwords.ts";

const PASSWORD = "planted pässword of alice";
const LISTED = "planted password of a file";
/** Of "myPassword", by `htpasswd -B`: from Apache's page on password formats. */
const APACHE = "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC";
const WRONG = "planted password of nobody";

let folder: TempFolder;

beforeEach(() => {
  folder = new TempFolder();
});
afterEach(() => folder.remove());

it("lets in who has the password, and shows neither it nor its hash to anybody", async () => {
  const made = await runCli(["hash-password"], { input: `${PASSWORD}\n` });
  expect(made).toEqual({ status: 0, stdout: expect.stringMatching(/^\$scrypt\$\S+\n$/), stderr: "" });
  const [hash = ""] = made.stdout.split("\n");
  const listed = hashOf(LISTED); // cheaper than those of the command
  folder.write("users.htpasswd", `# staff\nstaff:${listed}\napache:${APACHE}\n`);

  const config = folder.write(
    "sluice.yaml",
    `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
threads: 2
log: { level: debug }
consumers: [{ name: alice, credentials: [{ username: Alice, passwordHash: "${hash}" }] }]
routes:
  - name: file
    match: { path: /file }
    pipeline: [{ plugin: auth, methods: [{ basic: { htpasswd: "\${file:users.htpasswd}" } }] }, { plugin: respond, body: "{consumer.name}" }]
  - name: all
    match: { path: /* }
    pipeline: [{ plugin: auth, methods: [basic] }, { plugin: respond, body: "{consumer.name} {request.header.authorization}" }]
`,
  );
  await using cli = await startCli(["--config", config]);
  const shown: unknown[] = [];
  const ask = async (password: string, name = "Alice", path = "/"): Promise<string> => {
    const authorization = `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
    const reply = await fetch(cli.url + path, { headers: { authorization } });
    const body = await reply.text();
    shown.push([...reply.headers], body);
    return reply.status === 200 ? body : String(reply.status);
  };
  expect(await ask(PASSWORD)).toBe("alice ");
  expect(await ask(WRONG)).toBe("401");
  expect(await ask(PASSWORD)).toBe("alice ");
  expect(await ask(hash)).toBe("401");

  // Names of a file hold from the moment on that it is saved.
  expect(await ask(LISTED, "staff", "/file")).toBe("staff");
  expect(await ask("myPassword", "apache", "/file")).toBe("apache");
  expect(await ask("mypassword", "apache", "/file")).toBe("401");
  expect(await ask(LISTED, "later", "/file")).toBe("401");
  folder.write("users.htpasswd", `later:${listed}\n`);
  await cli.logged((line) => line["msg"] === "configuration activated" && line["generation"] === 2);
  expect(await ask(LISTED, "later", "/file")).toBe("later");
  expect(await ask(LISTED, "staff", "/file")).toBe("401");
  folder.write("users.htpasswd", "later:$2y$05$planted\n");
  const refused = await cli.logged((line) => String(line["msg"]).includes("Line 1 of the file"));
  expect(refused).toMatchObject({ code: "CONFIG_VALUE" });
  expect(await ask(LISTED, "later", "/file")).toBe("later");
  folder.write("users.htpasswd", `later:${listed}\n`);

  for (const page of ["/metrics", "/admin/config", "/admin/stats"]) {
    shown.push(await (await fetch(cli.adminUrl + page)).text());
  }
  for (const args of [["check"], ["dump"], ["dump", "--effective"]]) {
    shown.push(await runCli([...args, "--config", config]));
  }
  await cli.stop();
  shown.push(cli.lines, cli.complaint);
  const text = JSON.stringify(shown);
  expect(text).toContain("sluice_auth_requests_total");
  for (const secret of [
    PASSWORD,
    WRONG,
    LISTED,
    "05$planted",
    APACHE.slice(7),
    listed.split("$").at(-1)!,
    hash,
    hash.split("$").at(-1)!,
    Buffer.from(`Alice:${PASSWORD}`).toString("base64"),
  ]) {
    expect(text).not.toContain(secret);
  }
});

it("makes no hash of nothing, or of more than a line", async () => {
  for (const input of ["", "\n", "one\ntwo\n"]) {
    expect(await runCli(["hash-password"], { input })).toMatchObject({ status: 2, stdout: "" });
  }
});
