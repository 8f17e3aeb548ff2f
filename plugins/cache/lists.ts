/** Lists in fields (RFC 9110 section 5.6.1). */

/**
 * Splits at commas, but not at those in quoted strings, and leaves out empty members and the blanks around others. A
 * quote that is never closed is taken for an ordinary character, so that it hides nothing that follows.
 */
export function splitList(value: string): string[] {
  const members: string[] = [];
  let start = 0;
  for (let i = 0; i < value.length; i++) {
    const char = value[i];
    if (char === '"') i = closingQuote(value, i);
    else if (char === ",") {
      addMember(members, value.slice(start, i));
      start = i + 1;
    }
  }
  addMember(members, value.slice(start));
  return members;
}

function addMember(members: string[], text: string): void {
  const member = text.trim();
  if (member !== "") members.push(member);
}

/** Where the quoted string that opens at `open` ends; `open` itself when it does not. */
function closingQuote(value: string, open: number): number {
  for (let i = open + 1; i < value.length; i++) {
    if (value[i] === "\\") i++;
    else if (value[i] === '"') return i;
  }
  return open;
}
