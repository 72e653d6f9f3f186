/**
 * Folds a family of fine-tuned models into one merged checkpoint plus a small part per task, and gives each model back.
 *
 * @packageDocumentation
 */
export type { FloatDtype, IndexCode, SparseCodec, StreamCodec, ValueCode } from './binding/binding-types.js'
export type { DeviceChoice, DeviceOptions, UsedDevice } from './binding/device-choice.js'
export type { Checkpoint, CheckpointFile, Dtype, TensorInfo } from './checkpoint/checkpoint-types.js'
export { type ReadCheckpointOptions, readCheckpoint } from './checkpoint/open-checkpoint.js'
export { readTensor, type Tensor } from './checkpoint/read-tensor.js'
export {
  type TensorToWrite,
  type WriteCheckpointOptions,
  writeCheckpoint,
} from './checkpoint/write-checkpoint.js'
export { type CudaDevice, type Devices, devices } from './devices.js'
export type { ErrorCode } from './errors/error-codes.js'
export { type ErrorDetails, TaskfoldError } from './errors/taskfold-error.js'
export {
  type DescribedAdapter,
  type DescribedMethod,
  type DescribedProblem,
  type DescribedTask,
  describePlan,
  type PlanDescription,
} from './fold/describe-plan.js'
export { fold } from './fold/fold.js'
export type { FoldOptions, FoldSettings, TaskInput } from './fold/fold-options.js'
export { planFold } from './fold/fold-plan.js'
export type { FoldedAdapter, FoldedTask, FoldResult } from './fold/fold-result.js'
export type {
  ComputedTensor,
  CopiedTensor,
  MergeableTensor,
  MergedFile,
  MergedTensor,
  MergedTensorFacts,
  PlannedAlias,
  PlannedDelta,
  PlannedKeep,
  PlannedRows,
  PlannedTensor,
  PlannedTensorFacts,
  TiedTensor,
} from './fold/plan-tensors.js'
export type {
  AdapterPrediction,
  DtypeConversion,
  FoldInputs,
  FoldPlan,
  ModelInputs,
  PlanNote,
  PlannedAdapter,
  PlannedTask,
  TaskPrediction,
  Tie,
} from './fold/plan-types.js'
export { planSizes } from './fold/size-plan.js'
export type { PlanLambda, SizePlan, SizePlanOptions, SizeRow } from './fold/size-plan-types.js'
export type { SizeTarget } from './fold/stream-target.js'
export type { OnProgress, Progress, ProgressPhase } from './io/progress.js'
export type { AdapterReport, EnergySum, LayerReport } from './lora/adapter-report.js'
export type {
  AdapterWarning,
  LoraAdapter,
  LoraLayer,
  LoraLayerKind,
} from './lora/adapter-types.js'
export type { RankBudget } from './lora/budget-ranks.js'
export type { ExtractedLayer } from './lora/extract-layers.js'
export type { LeftOutTensor } from './lora/extract-left-out.js'
export type { LoraExtractOptions, Patterns } from './lora/extract-options.js'
export { type LoraExtractResult, loraExtract } from './lora/lora-extract.js'
export {
  type AdapterDtype,
  type LoraResizeOptions,
  type LoraResizeResult,
  loraResize,
} from './lora/lora-resize.js'
export type { BaseMatch, MatchedLayer } from './lora/match-base.js'
export { type OpenAdapterOptions, openAdapter } from './lora/open-adapter.js'
export { type LoraExtractPreview, previewLoraExtract } from './lora/preview-extract.js'
export type { RankOptions } from './lora/rank-options.js'
export type { RankRule } from './lora/rank-rule.js'
export type { HostArray, HostLoadOptions, HostModel, HostTensor } from './materialize/host-types.js'
export type {
  LoadedModel,
  LoadedTensor,
  LoadOptions,
  SharedModel,
  SharedTensor,
  SwitchOptions,
} from './materialize/load-types.js'
export { type LoraMergeResult, loraMerge } from './materialize/lora-merge.js'
export type { AdapterInput, LoraMergeOptions } from './materialize/lora-merge-options.js'
export type { MaterializeOptions, MaterializeResult } from './materialize/materialize.js'
export type { TaskTensorData } from './materialize/materialize-tensor.js'
export type { BaseOptions } from './materialize/open-base.js'
export {
  type Family,
  type FamilyTensorOptions,
  type OpenFamilyOptions,
  openFamily,
} from './materialize/open-family.js'
export type { TaskTensorsOptions } from './materialize/task-tensors.js'
export type {
  Manifest,
  ManifestBase,
  ManifestExactTask,
  ManifestLayer,
  ManifestLoraMethod,
  ManifestLoraTask,
  ManifestLoss,
  ManifestMerged,
  ManifestMergeMethod,
  ManifestMethod,
  ManifestRankRule,
  ManifestTarget,
  ManifestTask,
  ManifestTaskFacts,
  PackFile,
  PackSource,
  RemainderCodec,
} from './pack/manifest-types.js'
export type { TaskTensor } from './pack/pack-format.js'
export type { AdapterInspection, AdapterLayerInspection } from './report/adapter-inspection.js'
export { type InspectOptions, inspect } from './report/inspect.js'
export type {
  CheckpointInspection,
  ExactTaskInspection,
  FamilyInspection,
  Inspection,
  LoraTaskInspection,
  TaskInspection,
  TaskTensorInspection,
} from './report/inspection-types.js'
export { type VerifyOptions, verify } from './report/verify.js'
export type { LayerComparison, TaskComparison, VerifiedTask, VerifyResult } from './report/verify-types.js'
