import type { MergeJob, MergeTensor } from '../binding/binding-types.js'

/**
 * One way to make θ* from the base and the fine-tunes. A new method is one more file in this folder that implements
 * this interface and, when its arithmetic is new, a kernel behind the native merge.
 *
 * The arithmetic of a method is part of the pack format: the same inputs give the same bits on every machine.
 */
export interface MergeMethod<Parameters> {
  /** The name in family.json and on the command line. */
  readonly name: string
  /**
   * Checks what the user gave and rounds it to what is computed with.
   *
   * @param raw - options as given, unchecked
   * @returns the parameters the merge uses
   * @throws TaskfoldError INVALID_ARGUMENT naming the option and its value
   */
  check(raw: Readonly<Record<string, unknown>>): Parameters
  /**
   * @param parameters - as {@link MergeMethod.check} returned them
   * @returns the method's fields of `method` in family.json
   */
  describe(parameters: Parameters): Readonly<Record<string, number | string>>
  /**
   * @param tensors - operands and targets
   * @param parameters - as {@link MergeMethod.check} returned them
   * @returns the native job, without selection and NaN rule, which belong to the fold
   */
  job(tensors: MergeTensor[], parameters: Parameters): MergeJob
}
