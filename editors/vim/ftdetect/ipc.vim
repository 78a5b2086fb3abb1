autocmd BufRead,BufNewFile *.ipc setfiletype ipc
