// The command line in a process of its own, from sources.
import { main } from '../../lib/cli/main.js'

await main(process.argv.slice(2))
