" :make shows the mistakes in the current interface file.
if exists('current_compiler')
  finish
endif
let current_compiler = 'ipcc'

CompilerSet makeprg=ipcc\ check\ %:S
CompilerSet errorformat=%f:%l:%c:\ %trror:\ %m,%-G%.%#
