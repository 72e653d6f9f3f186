// The same package from CommonJS.
import taskfold = require('taskfold')
import kernels = require('taskfold/kernels')

async function main(): Promise<void> {
  const family = await taskfold.openFamily('out')
  const tasks: readonly string[] = family.tasks
  const options: taskfold.FoldOptions = { base: 'base', tasks: { a: 'a' }, output: 'out' }
  await taskfold.fold(options)
  // @ts-expect-error density is a number
  await taskfold.fold({ ...options, density: '10%' })
  void [tasks, kernels, taskfold.TaskfoldError]
}
void main()
