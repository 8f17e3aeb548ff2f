/** Configuration files of peers, filled in. */

/**
 * Replaces `@NAME@` by its value. A line `#NAME| text` becomes `text` when NAME is among `sections`, and is left out when
 * not.
 * @throws TypeError for a name without a value
 */
export function renderConfig(
  template: string,
  values: Readonly<Record<string, string | number>>,
  sections: readonly string[] = [],
): string {
  const lines = template.split("\n").flatMap((line) => {
    const [, indent = "", name = "", text = ""] = /^(\s*)#(\w+)\| (.*)$/.exec(line) ?? [];
    if (name === "") return [line];
    return sections.includes(name) ? [indent + text] : [];
  });
  return lines.join("\n").replaceAll(/@([A-Z]+)@/g, (_whole, name: string) => {
    const value = values[name];
    if (value === undefined) throw new TypeError(`@${name}@ has no value`);
    return String(value);
  });
}
