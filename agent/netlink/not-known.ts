/** Something of what is loaded that only nft(8) can say what it is. */
export class NotKnown extends Error {
  override readonly name = 'NotKnown';
}
