# The lab's guest: a real virtual machine that costs almost nothing.
#
# Real mode, started by the BIOS from its own disk. About once a second it compares the head record on its disk with the one
# that it wrote last, writes the next record, and says so on COM1:
#
#   vm1 boot=1 count=17 slot=17 tsc=00000012a7be6c04
#
# `count` lives in memory alone: it goes on after a live migration and begins at 1 after a cold start. `boot` and `slot` come
# from the disk: they go on for ever. Where the head isn't what this guest wrote last, somebody else wrote to its disk: it says
# CLASH on COM1, and marks the clash on the disk, where the mark stays. The ACPI power button switches it off.
#
# Disk, in sectors of 512 bytes (the same numbers stand in disk.rs):
#   0 boot sector, 1-3 program, 4 configuration, 5 head record, 6 clash mark, 8... log of all records, a ring
# Record: magic "MREC", boot, count, slot (u32 each), tsc (u64); little endian.
# Clash mark: magic "CLSH", then the own record without its magic, then 24 bytes of what was found instead.

        .intel_syntax noprefix
        .code16
        .globl start

        .set    HEAD_SECTOR, 5
        .set    CLASH_SECTOR, 6
        .set    LOG_SECTOR, 8
        .set    RECORD_BYTES, 24
        .set    MAGIC, 0x4345524d               # "MREC"
        .set    CLASH_MAGIC, 0x48534c43         # "CLSH"
        .set    COM1, 0x3f8
        .set    POWER_STATUS, 0x600             # where SeaBIOS puts the ACPI registers
        .set    POWER_ENABLE, 0x602
        .set    POWER_CONTROL, 0x604
        .set    POWER_BUTTON, 0x100
        .set    SLEEP_NOW, 0x2000
        .set    TICKS, 0x46c                    # the BIOS's timer ticks, 18.2 a second
        .set    FOUND, 0x9000                   # one sector: what was read
        .set    OWN, 0x9200                     # one sector: the record written last
        .set    MARK, 0x9400                    # one sector: a clash mark
        .set    CONFIG, 0x8400                  # sector 4, loaded with the program
        .set    NAME, CONFIG                    # up to 15 bytes and a zero
        .set    PERIOD_TICKS, CONFIG + 16       # ticks from record to record
        .set    DIRTY_PAGES, CONFIG + 20        # pages rewritten at every tick
        .set    HOT_PAGES, CONFIG + 24          # pages they are taken from in turn, from 1 MiB on
        .set    LOG_SLOTS, CONFIG + 28          # records the log holds before it begins anew

start:
        cli
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     fs, ax
        mov     ss, ax
        mov     sp, 0x7c00
        sti
        cld
        ljmp    0, offset boot
boot:
        mov     [drive], dl
        mov     si, offset packet
        mov     ah, 0x42
        int     0x13
        jnc     main
stuck:  hlt
        jmp     stuck

drive:  .byte   0
        .balign 4
packet: .byte   16, 0                           # the BIOS's disk address packet
packet_sectors: .word 4
packet_buffer:  .word 0x7e00, 0
packet_sector:  .long 1, 0

        .org    510
        .word   0xaa55

main:
        mov     dx, COM1 + 1                    # no interrupts, 115200 baud, 8N1, FIFO
        xor     al, al
        out     dx, al
        mov     dx, COM1 + 3
        mov     al, 0x80
        out     dx, al
        mov     dx, COM1
        mov     al, 1
        out     dx, al
        inc     dx
        xor     al, al
        out     dx, al
        mov     dx, COM1 + 3
        mov     al, 3
        out     dx, al
        mov     dx, POWER_STATUS
        mov     ax, POWER_BUTTON
        out     dx, ax
        mov     dx, POWER_ENABLE
        out     dx, ax
        mov     word ptr [packet_sectors], 1

        mov     eax, HEAD_SECTOR                # where an earlier boot left off
        mov     bx, OWN
        call    read_sector
        mov     eax, [OWN]
        cmp     eax, MAGIC
        je      known
        mov     dword ptr [OWN + 4], 0
        mov     dword ptr [OWN + 12], 0
known:
        mov     eax, [OWN + 4]
        inc     eax
        mov     [boot_number], eax
        call    dirty_all

record:
        call    compare
        mov     dword ptr [OWN], MAGIC
        mov     eax, [boot_number]
        mov     [OWN + 4], eax
        inc     dword ptr [count]
        mov     eax, [count]
        mov     [OWN + 8], eax
        mov     eax, [OWN + 12]
        inc     dword ptr [OWN + 12]
        push    eax
        rdtsc
        mov     [OWN + 16], eax
        mov     [OWN + 20], edx
        pop     eax
        xor     edx, edx                        # the log's sector: LOG_SECTOR + (slot - 1) % LOG_SLOTS
        div     dword ptr [LOG_SLOTS]
        mov     eax, edx
        add     eax, LOG_SECTOR
        mov     bx, OWN
        call    write_sector
        mov     eax, HEAD_SECTOR
        mov     bx, OWN
        call    write_sector
        mov     si, NAME
        call    print
        call    print_own

        mov     ecx, [PERIOD_TICKS]
tick:
        push    ecx
        mov     eax, [TICKS]
same:   hlt
        cmp     eax, [TICKS]
        je      same
        mov     dx, POWER_STATUS
        in      ax, dx
        test    ax, POWER_BUTTON
        jnz     power_off
        mov     ecx, [DIRTY_PAGES]
        call    dirty
        pop     ecx
        dec     ecx
        jnz     tick
        jmp     record

power_off:
        mov     si, NAME
        call    print
        mov     si, offset text_off
        call    print
        mov     dx, POWER_STATUS
        mov     ax, POWER_BUTTON
        out     dx, ax
        mov     dx, POWER_CONTROL
        mov     ax, SLEEP_NOW
        out     dx, ax
        jmp     stuck

# Is the head on the disk what this guest knows to be there?
compare:
        mov     eax, HEAD_SECTOR
        mov     bx, FOUND
        call    read_sector
        cmp     dword ptr [count], 0            # nothing was written yet in this boot
        je      compared
        mov     si, OWN
        mov     di, FOUND
        mov     cx, RECORD_BYTES
        repe    cmpsb
        jne     clash
compared:
        ret
clash:
        mov     si, NAME
        call    print
        mov     si, offset text_clash
        call    print
        call    print_own
        mov     eax, CLASH_SECTOR
        mov     bx, MARK
        call    read_sector
        cmp     dword ptr [MARK], CLASH_MAGIC   # the first mark stays
        je      compared
        mov     dword ptr [MARK], CLASH_MAGIC
        mov     si, OWN + 4
        mov     di, MARK + 4
        mov     cx, RECORD_BYTES - 4
        rep     movsb
        mov     si, FOUND
        mov     cx, RECORD_BYTES
        rep     movsb
        mov     eax, CLASH_SECTOR
        mov     bx, MARK
        jmp     write_sector

# eax: sector, bx: buffer
read_sector:
        mov     cx, 0x4200
        jmp     transfer
write_sector:
        mov     cx, 0x4300
transfer:
        mov     [packet_sector], eax
        mov     [packet_buffer], bx
        mov     si, offset packet
        mov     dl, [drive]
        mov     ax, cx
        int     0x13
        jnc     transferred
        mov     si, NAME
        call    print
        mov     si, offset text_error
        call    print
transferred:
        ret

# Writes once to every hot page, so that none is empty.
dirty_all:
        mov     ecx, [HOT_PAGES]

# ecx: pages to rewrite, taken from the hot ones in turn. They are beyond what real mode reaches, so fs gets its limit lifted.
dirty:
        test    ecx, ecx
        jz      dirtied
        cmp     dword ptr [HOT_PAGES], 0
        je      dirtied
        cli
        lgdt    [gdt_register]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     lifted
lifted: mov     bx, 8
        mov     fs, bx
        and     al, 0xfe
        mov     cr0, eax
        jmp     back
back:   xor     bx, bx
        mov     fs, bx
        sti
        mov     eax, [page]
next:
        cmp     eax, [HOT_PAGES]
        jb      inside
        xor     eax, eax
inside:
        mov     edi, eax
        shl     edi, 12
        inc     dword ptr fs:[edi + 0x100000]
        inc     eax
        dec     ecx
        jnz     next
        mov     [page], eax
dirtied:
        ret

# The own record: boot, count, slot, tsc and the line's end.
print_own:
        mov     si, offset text_boot
        call    print
        mov     eax, [OWN + 4]
        call    print_number
        mov     si, offset text_count
        call    print
        mov     eax, [OWN + 8]
        call    print_number
        mov     si, offset text_slot
        call    print
        mov     eax, [OWN + 12]
        call    print_number
        mov     si, offset text_tsc
        call    print
        mov     eax, [OWN + 20]
        call    print_hexadecimal
        mov     eax, [OWN + 16]
        call    print_hexadecimal
        mov     si, offset text_end
        jmp     print

# eax: a number, in decimal
print_number:
        mov     ebx, 10
        xor     cx, cx
digit:  xor     edx, edx
        div     ebx
        push    dx
        inc     cx
        test    eax, eax
        jnz     digit
digits: pop     ax
        add     al, '0'
        call    put
        loop    digits
        ret

# eax: a number, as eight hexadecimal digits
print_hexadecimal:
        mov     cx, 8
nibble: rol     eax, 4
        push    eax
        and     al, 15
        cmp     al, 10
        jb      decimal
        add     al, 'a' - '0' - 10
decimal:
        add     al, '0'
        call    put
        pop     eax
        loop    nibble
        ret

# si: a text that ends with a zero
print:
        lodsb
        test    al, al
        jz      printed
        call    put
        jmp     print
printed:
        ret

put:
        push    dx
        push    ax
        mov     dx, COM1 + 5
busy:   in      al, dx
        test    al, 0x20
        jz      busy
        mov     dx, COM1
        pop     ax
        out     dx, al
        pop     dx
        ret

text_boot:      .asciz  " boot="
text_count:     .asciz  " count="
text_slot:      .asciz  " slot="
text_tsc:       .asciz  " tsc="
text_clash:     .asciz  " CLASH"
text_error:     .asciz  " DISK ERROR\r\n"
text_off:       .asciz  " power off\r\n"
text_end:       .asciz  "\r\n"

        .balign 8
gdt:    .quad   0
        .quad   0x00cf92000000ffff              # data, 4 GiB
gdt_register:
        .word   15
        .long   gdt
boot_number:    .long 0
count:  .long   0
page:   .long   0

        .org    2048                            # the configuration follows
