/** Numbers, texts and bytes in a row, as entries are written for a store, and read again. */

const FIRST_BYTES = 1024;
/** Numbers that are written in pieces of seven bits; others take nine bytes. */
const MOST_VARINT = 2 ** 52;

/** Grows as it is written to. */
export class ByteWriter {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #length = 0;

  /** What was written until now; changes when more is. */
  get written(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** Any number; small ones, whole and not negative, take little. */
  number(value: number): void {
    if (Number.isInteger(value) && value >= 0 && value < MOST_VARINT && !Object.is(value, -0)) {
      this.#varint(value + 1);
      return;
    }
    this.#reserve(9);
    this.#bytes[this.#length] = 0;
    this.#bytes.writeDoubleLE(value, this.#length + 1);
    this.#length += 9;
  }

  text(value: string): void {
    const bytes = Buffer.byteLength(value);
    this.#varint(bytes);
    this.#reserve(bytes);
    this.#length += this.#bytes.write(value, this.#length);
  }

  texts(values: readonly string[]): void {
    this.#varint(values.length);
    for (const value of values) this.text(value);
  }

  #varint(value: number): void {
    this.#reserve(8);
    let rest = value;
    for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
    this.#bytes[this.#length++] = rest;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#length + bytes));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

/** Reads what a {@link ByteWriter} wrote. @throws RangeError beyond the end */
export class ByteReader {
  readonly #bytes: Buffer;
  #position: number;

  constructor(bytes: Buffer, position: number) {
    this.#bytes = bytes;
    this.#position = position;
  }

  /** What was not read. */
  get rest(): Buffer {
    return this.#bytes.subarray(this.#position);
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#position++);
  }

  number(): number {
    const value = this.#varint();
    if (value > 0) return value - 1;
    this.#position += 8;
    return this.#bytes.readDoubleLE(this.#position - 8);
  }

  text(): string {
    const end = this.#varint() + this.#position;
    if (end > this.#bytes.length) throw new RangeError("the text is not whole");
    const value = this.#bytes.toString("utf8", this.#position, end);
    this.#position = end;
    return value;
  }

  texts(): string[] {
    const values: string[] = [];
    for (let count = this.#varint(); count > 0; count--) values.push(this.text());
    return values;
  }

  #varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }
}
