" Colours for interface files.
if exists('b:current_syntax')
  finish
endif

syntax keyword ipcDeclaration endpoint struct enum
syntax keyword ipcType bool i8 i16 i32 i64 u8 u16 u32 u64 int unsigned size_t float double
syntax keyword ipcType String StringView ByteString ByteBuffer JsonValue Duration UnixDateTime Empty
syntax keyword ipcType Vector Array HashMap OrderedHashMap Optional Variant
syntax match ipcMessage /\<\w\+\ze\s*(/
syntax match ipcArrow /=>\|=|/
syntax match ipcNumber /-\?\<\d\w*\>/
syntax match ipcAttribute /\[[^\]]*\]/
syntax match ipcInclude /^\s*#\s*include\>/ nextgroup=ipcPath skipwhite
syntax match ipcPath /<[^<>"]\+>\|"[^<>"]\+"/ contained
syntax match ipcDocumentation /^\s*\/\/\/\%([^/].*\)\?$/ contains=@Spell

highlight default link ipcDeclaration Keyword
highlight default link ipcType Type
highlight default link ipcMessage Function
highlight default link ipcArrow Operator
highlight default link ipcNumber Number
highlight default link ipcAttribute PreProc
highlight default link ipcInclude Include
highlight default link ipcPath String
highlight default link ipcComment Comment
highlight default link ipcDocumentation SpecialComment

let b:current_syntax = 'ipc'
