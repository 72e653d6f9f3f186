/**
 * Folds a family of fine-tuned models into one merged checkpoint plus a small part per task, and gives each model back.
 *
 * @packageDocumentation
 */
export type { FloatDtype, IndexCode } from './binding/binding-types.js'
export type { Checkpoint, CheckpointFile, Dtype, TensorInfo } from './checkpoint/checkpoint-types.js'
export { type ReadCheckpointOptions, readCheckpoint } from './checkpoint/open-checkpoint.js'
export { readTensor, type Tensor } from './checkpoint/read-tensor.js'
export {
  type TensorToWrite,
  type WriteCheckpointOptions,
  writeCheckpoint,
} from './checkpoint/write-checkpoint.js'
export { type Devices, devices } from './devices.js'
export type { ErrorCode } from './errors/error-codes.js'
export { type ErrorDetails, TaskfoldError } from './errors/taskfold-error.js'
export {
  type DescribedMethod,
  type DescribedProblem,
  type DescribedTask,
  describePlan,
  type PlanDescription,
} from './fold/describe-plan.js'
export { fold } from './fold/fold.js'
export type { FoldOptions, FoldSettings, TaskInput } from './fold/fold-options.js'
export { planFold } from './fold/fold-plan.js'
export type { FoldedTask, FoldResult } from './fold/fold-result.js'
export type {
  ComputedTensor,
  CopiedTensor,
  DtypeConversion,
  FoldInputs,
  FoldPlan,
  MergeableTensor,
  MergedFile,
  MergedTensor,
  MergedTensorFacts,
  PlanNote,
  PlannedAlias,
  PlannedDelta,
  PlannedKeep,
  PlannedRows,
  PlannedTask,
  PlannedTensor,
  PlannedTensorFacts,
  TaskPrediction,
  Tie,
  TiedTensor,
} from './fold/plan-types.js'
export type { OnProgress, Progress, ProgressPhase } from './io/progress.js'
export type { MaterializeOptions, MaterializeResult } from './materialize/materialize.js'
export type { TaskTensorData } from './materialize/materialize-tensor.js'
export {
  type Family,
  type FamilyTensorOptions,
  type OpenFamilyOptions,
  openFamily,
} from './materialize/open-family.js'
export type { TaskTensorsOptions } from './materialize/task-tensors.js'
export type { Manifest, ManifestTask, PackFile, PackSource, TaskTensor } from './pack/pack-format.js'
export { type InspectOptions, inspect } from './report/inspect.js'
export type {
  CheckpointInspection,
  FamilyInspection,
  Inspection,
  TaskInspection,
  TaskTensorInspection,
} from './report/inspection-types.js'
export { type VerifyOptions, verify } from './report/verify.js'
export type { TaskComparison, VerifiedTask, VerifyResult } from './report/verify-types.js'
