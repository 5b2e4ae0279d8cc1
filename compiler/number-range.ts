/** A range of numbers, both ends included. */
export interface NumberRange {
  readonly first: number;
  readonly last: number;
}
