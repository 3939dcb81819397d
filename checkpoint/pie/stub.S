/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/pie/stub.S - code left in a task that was interrupted in a call with a time limit, or in the middle of a write: it makes the call
 * again with the time that is left, or for the rest, and returns to where the call was made as if nothing had been (continue.c).
 * Each template is copied into a slot; its data lies SLOT_DATA behind its start:
 *	0 deadline (CLOCK_MONOTONIC, ns)  8 number of the call  16 the argument that is replaced  24 where to return
 *	32 bytes written  40 buffer  48 length
 * On the stack, below the red zone: 0 rdi  8 rsi  16 timespec  32 rdx. */
#define SLOT_DATA	160
#define FRAME		512
	.section .rodata

	.macro	BEGIN name
	.balign	16
	.globl	ckpt_stub_\name, ckpt_stub_\name\()_after, ckpt_stub_\name\()_end
ckpt_stub_\name:
	.set	D, ckpt_stub_\name + SLOT_DATA
	.endm

	/* rax = ns until the deadline, not negative; rdi, rsi, rdx saved */
	.macro	LEFT
	lea	-FRAME(%rsp), %rsp
	mov	%rdi, (%rsp)
	mov	%rsi, 8(%rsp)
	mov	%rdx, 32(%rsp)
	mov	$228, %eax			/* clock_gettime */
	mov	$1, %edi			/* CLOCK_MONOTONIC */
	lea	16(%rsp), %rsi
	syscall
	imul	$1000000000, 16(%rsp), %rcx
	add	24(%rsp), %rcx
	mov	D(%rip), %rax
	xor	%edx, %edx
	sub	%rcx, %rax
	cmovs	%rdx, %rax
	.endm

	.macro	CALL name reg
	mov	D+8(%rip), %eax
	syscall
ckpt_stub_\name\()_after:
	mov	D+16(%rip), %\reg
	lea	FRAME(%rsp), %rsp
	jmp	*D+24(%rip)
ckpt_stub_\name\()_end:
	.if	. - ckpt_stub_\name > SLOT_DATA
	.error	"the stub is too long"
	.endif
	.endm

	.macro	MILLISECONDS name reg
	BEGIN	\name
	LEFT
	add	$999999, %rax			/* not early */
	mov	$1000000, %ecx
	div	%rcx
	mov	(%rsp), %rdi
	mov	8(%rsp), %rsi
	mov	32(%rsp), %rdx
	mov	%rax, %\reg
	CALL	\name \reg
	.endm

	.macro	TIMESPEC name reg
	BEGIN	\name
	LEFT
	mov	$1000000000, %ecx
	div	%rcx
	mov	%rax, 16(%rsp)
	mov	%rdx, 24(%rsp)
	mov	(%rsp), %rdi
	mov	8(%rsp), %rsi
	mov	32(%rsp), %rdx
	lea	16(%rsp), %\reg
	CALL	\name \reg
	.endm

	MILLISECONDS ms_rdx rdx
	MILLISECONDS ms_r10 r10
	TIMESPEC ts_rdi rdi
	TIMESPEC ts_rdx rdx
	TIMESPEC ts_r10 r10

	/* write(), sendto(): the rest; an error now means that what was written before counts */
	BEGIN	rest
	lea	-FRAME(%rsp), %rsp
	mov	D+40(%rip), %rsi
	mov	D+48(%rip), %rdx
	add	D+32(%rip), %rsi
	sub	D+32(%rip), %rdx
	mov	D+8(%rip), %eax
	syscall
ckpt_stub_rest_after:
	xor	%ecx, %ecx
	test	%rax, %rax
	cmovs	%rcx, %rax
	add	D+32(%rip), %rax
	mov	D+40(%rip), %rsi
	mov	D+48(%rip), %rdx
	lea	FRAME(%rsp), %rsp
	jmp	*D+24(%rip)
ckpt_stub_rest_end:
	.if	. - ckpt_stub_rest > SLOT_DATA
	.error	"the stub is too long"
	.endif
	.section .note.GNU-stack, "", @progbits
