define xtf-where
  monitor xtf where
end
document xtf-where
Say which instruction of the boot is the next.
end

define xtf-to
  monitor xtf to $arg0
  reverse-stepi
end
document xtf-to
Go before the instruction of that number, back or forward.
end

define xtf-case
  monitor xtf case
  reverse-stepi
end
document xtf-case
Go back to the beginning of the case: to where the case before it ended, or its test began.
end

define xtf-hypercall
  monitor xtf hypercall
  reverse-stepi
end
document xtf-hypercall
Go back to the guest's last hypercall.
end

define xtf-hypercalls
  if $argc == 0
    monitor xtf hypercalls
  else
    monitor xtf hypercalls $arg0
  end
end
document xtf-hypercalls
List the last hypercalls of the case, or so many as are named, with arguments.
end

define xtf-write
  if $argc == 1
    eval "monitor xtf write %lu %lu", (unsigned long) ($arg0), (unsigned long) 8
  else
    eval "monitor xtf write %lu %lu", (unsigned long) ($arg0), (unsigned long) ($arg1)
  end
  reverse-stepi
end
document xtf-write
Go back to the last write to an address; a second argument is a number of bytes, else 8.
end
